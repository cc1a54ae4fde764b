//! The Mandelbrot set as an expression: a few kernels for all pixels.

use cupric::{Array, DType, Device, Expr, Result, arange, eval_all, select, stack, zeros};

/// The number of iterations that run as one kernel.
const FUSED: usize = 16;
/// A point escapes when its squared distance from 0 reaches this bound, which is large so that the colours are smooth.
const FAR: f64 = 256.0;

/// The region of the complex plane that the page shows.
#[derive(Clone, Copy)]
pub struct View {
    pub width: usize,
    pub height: usize,
    pub x: f64,
    pub y: f64,
    /// The width of the picture in the plane.
    pub span: f64,
    pub steps: usize,
}

/// Iterates each point of a view on the device. Returns its last real part, its last imaginary part, and the number of
/// iterations before it escaped.
pub fn counts(device: &Device, view: View) -> Result<[Array; 3]> {
    let View { width, height, x, y, span, steps } = view;
    let pixel = span / width as f64;
    let along = |n: usize, centre: f64, step: f64| {
        (arange(0, n, 1, DType::I32).astype(DType::F32) - (n as f64 - 1.0) / 2.0) * step + centre
    };
    let cx = along(width, x, pixel).to_device(device)?;
    let cy = along(height, y, -pixel).expand_dims(1).to_device(device)?;
    let zero = zeros([height, width], DType::F32).to_device(device)?;
    let mut z = [zero.clone(), zero.clone(), zero];
    for _ in 0..steps.div_ceil(FUSED) {
        let [mut x, mut y, mut count] = z.each_ref().map(|a| Expr::from(a.clone()));
        for _ in 0..FUSED {
            let (xx, yy) = (x.square(), y.square());
            let near = (&xx + &yy).less(FAR);
            let next = (xx - yy + &cx, &x * &y * 2.0 + &cy);
            (x, y) = (select(&near, next.0, x), select(&near, next.1, y));
            count = count + near.astype(DType::F32);
        }
        z = eval_all([&x, &y, &count])?;
    }
    Ok(z)
}

/// Returns the picture of a view, with four bytes per pixel: red, green, blue and an opaque alpha.
pub async fn picture(device: &Device, view: View) -> Result<Vec<u8>> {
    let [x, y, count] = counts(device, view)?;
    let distance = x.square() + y.square();
    let inside = distance.less(FAR);
    let smooth = &count - (distance.maximum(FAR).log2() / FAR.log2()).log2();
    let turn = smooth.clip(0.0, 1e6).sqrt() * 0.55;
    // the channels are three cosines, shifted against each other
    let colour = |late: f64| select(&inside, 0.0, (&turn + late).cos() * -127.0 + 128.0);
    let opaque = select(&inside, 255.0, 255.0) + &count * 0.0;
    let pixels = stack([colour(0.0), colour(0.5), colour(1.0), opaque], -1);
    pixels.astype(DType::U8).to_vec_async::<u8>().await
}
