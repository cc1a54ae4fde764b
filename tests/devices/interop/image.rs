//! Images of the crate `image`.

use crate::kit::*;
use ::image::{ColorType, DynamicImage, ImageBuffer, Luma, Rgb, Rgba};
use cupric::*;

#[test]
fn every_kind_of_image_round_trips_without_a_copy_in() {
    use ColorType::*;
    for (kind, dtype, channels) in [
        (L8, DType::U8, 1),
        (La8, DType::U8, 2),
        (Rgb8, DType::U8, 3),
        (Rgba8, DType::U8, 4),
        (L16, DType::U16, 1),
        (La16, DType::U16, 2),
        (Rgb16, DType::U16, 3),
        (Rgba16, DType::U16, 4),
        (Rgb32F, DType::F32, 3),
        (Rgba32F, DType::F32, 4),
    ] {
        let image = DynamicImage::new(5, 3, kind);
        for copy in [Array::from_image(&image), Array::from_image(image.clone())] {
            assert_eq!(copy.unwrap().to_bytes().unwrap(), image.as_bytes());
        }
        let x = Array::from_image(image.clone()).unwrap();
        assert_eq!((x.dtype(), x.shape()), (dtype, &[3, 5, channels][..]));
        assert_eq!(x.to_bytes().unwrap(), image.as_bytes());
        let y = (&x + 1).eval().unwrap();
        let back = y.to_image().unwrap();
        assert_eq!((back.color(), back.width(), back.height()), (kind, 5, 3));
        assert_eq!(back.as_bytes(), y.to_bytes().unwrap());
    }
    // the array uses the image's own memory, even if that is larger than the pixels need
    let mut elements = vec![7u8; 100];
    elements[0] = 1;
    let place = elements.as_ptr();
    let image: ImageBuffer<Rgba<u8>, _> = ImageBuffer::from_raw(2, 4, elements).unwrap();
    let copy = Array::from_image(&image).unwrap();
    let x = Array::from_image(image).unwrap();
    assert!(array_equal(&copy, &x).unwrap());
    assert_eq!((x.shape(), x.to_vec::<u8>().unwrap()[0]), (&[4, 2, 4][..], 1));
    let back = x.into_vec::<u8>().unwrap();
    assert_eq!(back.as_ptr(), place);
    // an image whose pixels are not in a vector
    let pixels = [1u16, 2, 3, 4, 5, 6, 7];
    let image: ImageBuffer<Rgb<u16>, &[u16]> = ImageBuffer::from_raw(2, 1, &pixels[..]).unwrap();
    let x = Array::from_image(&image).unwrap();
    assert_eq!((x.shape(), x.to_vec::<u16>().unwrap()), (&[1, 2, 3][..], pixels[..6].to_vec()));
}

on_devices! {
    fn expressions_become_images(d: &Device) {
        let x = put(d, (0..24).map(|v| v as f32).collect::<Vec<_>>(), &[4, 2, 3]);
        // a view with other strides
        let image = x.t().flip(0).to_image_buffer::<Rgb<f32>>();
        let refused = image.map(|_| ()).unwrap_err();
        assert_eq!((refused.kind(), refused.operation()), (ErrorKind::Shape, "to_image_buffer"));
        let image = x.flip(0).to_image_buffer::<Rgb<f32>>().unwrap();
        assert_eq!((image.dimensions(), image.get_pixel(1, 0).0), ((2, 4), [21., 22., 23.]));
        let gray = x.slice(s![.., .., 0]).astype(DType::U16);
        assert_eq!(gray.to_image().unwrap().color(), ColorType::L16);
        assert_eq!(gray.to_image_buffer::<Luma<u16>>().unwrap().get_pixel(1, 3).0, [21]);
    }
}

#[test]
fn what_is_no_image_is_refused() {
    let refused = |e: Expr, kind: ErrorKind, why: &str| {
        let error = e.to_image().map(|_| ()).unwrap_err();
        assert_eq!((error.kind(), error.operation()), (kind, "to_image"));
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.location().is_some_and(|at| at.file() == file!()), "{error}");
    };
    refused(zeros([3], DType::U8), ErrorKind::Shape, "is not (height, width)");
    refused(zeros([3, 3, 5], DType::U8), ErrorKind::Shape, "has 5 channels; an image has 1 to 4");
    refused(zeros([3, 3], DType::F32), ErrorKind::Shape, "an image of f32 has 3 or 4");
    refused(zeros([3, 3], DType::I64), ErrorKind::DType, "not i64; use astype");
    refused(zeros([0, 1usize << 33], DType::U8), ErrorKind::LimitExceeded, "at most 4294967295");
    let e = zeros([2, 2, 3], DType::F32).to_image_buffer::<Rgb<u8>>().map(|_| ()).unwrap_err();
    assert_eq!(e.kind(), ErrorKind::DType);
    let empty = zeros([0, 4], DType::U8).to_image().unwrap();
    assert_eq!((empty.width(), empty.height()), (4, 0));
}
