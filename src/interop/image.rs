//! Conversions from and to images of the library `image`. An image is an array of shape (height, width, channels).

use crate::array::Array;
use crate::base::dtype::{DType, Element};
use crate::base::error::{Error, ErrorKind, Loc, Result};
use crate::base::layout;
use crate::graph::expr::Expr;
use ::image::{DynamicImage, ImageBuffer, Luma, LumaA, Pixel, Rgb, Rgba};
use std::ops::Deref;
use std::panic::Location;

/// An image whose pixels are stored in a vector.
type Buffer<P> = ImageBuffer<P, Vec<<P as Pixel>::Subpixel>>;

mod sealed {
    pub trait Image {}
}

/// An image that [`Array::from_image`] accepts: a `DynamicImage`, an `ImageBuffer` such as `RgbImage`, or a reference to
/// one of these. (Feature `image`.)
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an image",
    label = "a `DynamicImage`, an `ImageBuffer` of u8, u16 or f32, or a reference to one of these is needed here"
)]
pub trait IntoImage: sealed::Image {
    #[doc(hidden)]
    #[track_caller]
    fn array(self) -> Result<Array>;
}

macro_rules! dynamic_images {
    ($($t:ty)*) => { $(
        impl sealed::Image for $t {}
        impl IntoImage for $t {
            #[track_caller]
            fn array(self) -> Result<Array> {
                match self {
                    DynamicImage::ImageLuma8(i) => i.array(),
                    DynamicImage::ImageLumaA8(i) => i.array(),
                    DynamicImage::ImageRgb8(i) => i.array(),
                    DynamicImage::ImageRgba8(i) => i.array(),
                    DynamicImage::ImageLuma16(i) => i.array(),
                    DynamicImage::ImageLumaA16(i) => i.array(),
                    DynamicImage::ImageRgb16(i) => i.array(),
                    DynamicImage::ImageRgba16(i) => i.array(),
                    DynamicImage::ImageRgb32F(i) => i.array(),
                    DynamicImage::ImageRgba32F(i) => i.array(),
                    other => {
                        let detail = format!("images of {:?} cannot be converted to an array", other.color());
                        Err(Error::with_line(ErrorKind::Unsupported, "from_image", detail, Location::caller()))
                    }
                }
            }
        }
    )* };
}
dynamic_images! { DynamicImage &DynamicImage }

impl<P: Pixel> sealed::Image for Buffer<P> {}
impl<P: Pixel<Subpixel: Element>> IntoImage for Buffer<P> {
    #[track_caller]
    fn array(self) -> Result<Array> {
        let shape = shape_of(&self);
        let mut elements = self.into_raw();
        // the vector of an image may be longer than its pixels need
        elements.truncate(layout::product(&shape));
        Array::from_vec(elements, shape).map_err(|e| e.named("from_image"))
    }
}

impl<P: Pixel, C> sealed::Image for &ImageBuffer<P, C> {}
impl<P: Pixel<Subpixel: Element>, C: Deref<Target = [P::Subpixel]>> IntoImage for &ImageBuffer<P, C> {
    #[track_caller]
    fn array(self) -> Result<Array> {
        let (shape, elements) = (shape_of(self), self.as_raw());
        let elements = elements.get(..layout::product(&shape)).unwrap_or(elements);
        Array::from_slice(elements, shape).map_err(|e| e.named("from_image"))
    }
}

fn shape_of<P: Pixel, C: Deref<Target = [P::Subpixel]>>(image: &ImageBuffer<P, C>) -> [usize; 3] {
    [image.height() as usize, image.width() as usize, P::CHANNEL_COUNT as usize]
}

impl Array {
    /// Converts an image to an array of shape (height, width, channels) on the CPU. The number of channels is 1 for
    /// gray, 2 for gray and alpha, 3 for RGB, or 4 for RGBA. The dtype is the image's: u8, u16 or f32. (Feature
    /// `image`.)
    ///
    /// The image is a `DynamicImage` or an `ImageBuffer`, such as `RgbImage`. An image passed by value is not copied,
    /// and the pixels of an image passed by reference are copied.
    ///
    /// # Errors
    /// Returns [`ErrorKind::Unsupported`] if the image is of a kind that a later version of `image` has added.
    ///
    /// ```
    /// use cupric::{Array, DType};
    /// use image::{DynamicImage, ImageBuffer, Luma, Rgb, RgbImage};
    /// let image = RgbImage::from_pixel(4, 3, Rgb([10, 20, 30]));
    /// let x = Array::from_image(&image)?;
    /// assert_eq!(x.shape(), [3, 4, 3]);
    /// assert_eq!(x.mean([0, 1]).to_vec::<f32>()?, [10., 20., 30.]);
    ///
    /// let y = Array::from_image(DynamicImage::from(image))?;
    /// assert_eq!(y.shape(), [3, 4, 3]);
    ///
    /// let z = Array::from_image(ImageBuffer::from_fn(2, 1, |x, _| Luma([x as u16 * 500])))?;
    /// assert_eq!((z.shape(), z.dtype()), (&[1, 2, 1][..], DType::U16));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("imread"))]
    #[track_caller]
    pub fn from_image(image: impl IntoImage) -> Result<Array> {
        image.array()
    }
}

/// # Images
impl Expr {
    /// Evaluates the expression and copies its values to an image. The shape must be (height, width) for a gray image,
    /// or (height, width, channels) with 1 channel for gray, 2 for gray and alpha, 3 for RGB, or 4 for RGBA. The dtype
    /// must be u8 or u16, or f32 with 3 or 4 channels. (Feature `image`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] or [`ErrorKind::DType`] for any other shape or dtype, and the errors of the
    /// evaluation.
    ///
    /// ```
    /// use cupric::{DType, array};
    /// let gray = array![[0., 0.5], [1., 0.25]];
    /// let image = (gray * 255.0).round().astype(DType::U8).to_image()?;
    /// assert_eq!(image.to_luma8().get_pixel(1, 0).0, [128]);
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[doc(alias("imwrite", "imsave"))]
    #[track_caller]
    pub fn to_image(&self) -> Result<DynamicImage> {
        const OP: &str = "to_image";
        let at = Location::caller();
        let (dtype, shape) = (self.dtype()?, self.shape()?);
        let (_, _, channels) = sides(shape, OP, at)?;
        Ok(match (dtype, channels) {
            (DType::U8, 1) => DynamicImage::ImageLuma8(self.buffer::<Luma<u8>>(OP, at)?),
            (DType::U8, 2) => DynamicImage::ImageLumaA8(self.buffer::<LumaA<u8>>(OP, at)?),
            (DType::U8, 3) => DynamicImage::ImageRgb8(self.buffer::<Rgb<u8>>(OP, at)?),
            (DType::U8, 4) => DynamicImage::ImageRgba8(self.buffer::<Rgba<u8>>(OP, at)?),
            (DType::U16, 1) => DynamicImage::ImageLuma16(self.buffer::<Luma<u16>>(OP, at)?),
            (DType::U16, 2) => DynamicImage::ImageLumaA16(self.buffer::<LumaA<u16>>(OP, at)?),
            (DType::U16, 3) => DynamicImage::ImageRgb16(self.buffer::<Rgb<u16>>(OP, at)?),
            (DType::U16, 4) => DynamicImage::ImageRgba16(self.buffer::<Rgba<u16>>(OP, at)?),
            (DType::F32, 3) => DynamicImage::ImageRgb32F(self.buffer::<Rgb<f32>>(OP, at)?),
            (DType::F32, 4) => DynamicImage::ImageRgba32F(self.buffer::<Rgba<f32>>(OP, at)?),
            (DType::U8 | DType::U16, n) => {
                let detail = format!("shape {shape:?} has {n} channels; an image has 1 to 4");
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            (DType::F32, n) => {
                let detail = format!("shape {shape:?} has {n} channels; an image of f32 has 3 or 4");
                return Err(Error::with_line(ErrorKind::Shape, OP, detail, at));
            }
            (other, _) => {
                let detail = format!("an image has elements of u8, u16 or f32, not {other}; use astype");
                return Err(Error::with_line(ErrorKind::DType, OP, detail, at));
            }
        })
    }

    /// Evaluates the expression and copies its values to an image with a known pixel type. The shape must be (height,
    /// width, channels), or (height, width) for pixels of one channel. (Feature `image`.)
    ///
    /// # Errors
    /// Returns [`ErrorKind::Shape`] or [`ErrorKind::DType`] if the shape or the dtype does not match the pixel type,
    /// and the errors of the evaluation.
    ///
    /// ```
    /// use cupric::{DType, zeros};
    /// let image = zeros([3, 4, 3], DType::F32).to_image_buffer::<image::Rgb<f32>>()?;
    /// assert_eq!(image.dimensions(), (4, 3));
    /// # Ok::<(), cupric::Error>(())
    /// ```
    #[track_caller]
    pub fn to_image_buffer<P>(&self) -> Result<ImageBuffer<P, Vec<P::Subpixel>>>
    where
        P: Pixel,
        P::Subpixel: Element,
    {
        self.buffer("to_image_buffer", Location::caller())
    }

    fn buffer<P>(&self, op: &'static str, at: Loc) -> Result<Buffer<P>>
    where
        P: Pixel,
        P::Subpixel: Element,
    {
        let shape = self.shape()?;
        let (height, width, channels) = sides(shape, op, at)?;
        if channels != P::CHANNEL_COUNT as usize {
            let detail = format!("shape {shape:?} has {channels} channels, the pixels have {}", P::CHANNEL_COUNT);
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
        let elements = self.eval_at(at)?.to_vec::<P::Subpixel>().map_err(|e| e.named(op))?;
        ImageBuffer::from_raw(width, height, elements)
            .ok_or_else(|| Error::with_line(ErrorKind::Internal, op, "the elements do not fill the image", at))
    }
}

/// Returns the height, width and number of channels of an image with this shape.
fn sides(shape: &[usize], op: &'static str, at: Loc) -> Result<(u32, u32, usize)> {
    let (height, width, channels) = match *shape {
        [height, width] => (height, width, 1),
        [height, width, channels] => (height, width, channels),
        _ => {
            let detail = format!("shape {shape:?} is not (height, width) or (height, width, channels)");
            return Err(Error::with_line(ErrorKind::Shape, op, detail, at));
        }
    };
    match (u32::try_from(height), u32::try_from(width)) {
        (Ok(height), Ok(width)) => Ok((height, width, channels)),
        _ => {
            let detail = format!("shape {shape:?}: an image has at most {} rows and columns", u32::MAX);
            Err(Error::with_line(ErrorKind::LimitExceeded, op, detail, at))
        }
    }
}
