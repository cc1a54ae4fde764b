//! A network that learns handwritten digits, a few steps at a time, so that the page can draw its loss meanwhile.

use cupric::{Array, Compiled, DType, Device, Expr, Result, Rng, grad_many, s, select, stack, zeros, zeros_like};

const PIXELS: usize = 64;
const HIDDEN: usize = 64;
const CLASSES: usize = 10;
const BATCH: usize = 32;
const EPOCHS: usize = 12;
const RATE: f64 = 0.008;
/// Decay rates of Adam's running means of the gradients and of their squares.
const BETAS: [f64; 2] = [0.9, 0.999];

/// Weights and biases, the running means of their gradients, and the running means of the squared gradients.
type State<T> = (Vec<T>, Vec<T>, Vec<T>);

/// A network in training.
pub struct Network {
    device: Device,
    rng: Rng,
    /// The mean and the spread of each pixel.
    scale: [Array; 2],
    train: [Array; 2],
    test: [Array; 2],
    state: State<Array>,
    step: Step,
    done: usize,
}

/// What a step reads: the state, a batch of images, their labels, and the learning rate.
type Given = (State<Expr>, Expr, Expr, Expr);
type Step = Compiled<fn(Given) -> (State<Expr>, Expr), (State<Expr>, Expr)>;

/// The results of an epoch of training.
pub struct Report {
    pub epoch: usize,
    pub epochs: usize,
    pub loss: f32,
    /// The share of the test images that are classified correctly.
    pub accuracy: f32,
}

impl Network {
    /// Loads the digits, a `.npy` file with 8 × 8 pixels and a label in each row, and draws the first weights.
    pub fn new(device: &Device, data: &[u8]) -> Result<Network> {
        let mut rng = Rng::new(0);
        let raw = Array::from_npy_bytes(data)?.reshape([-1, PIXELS as isize + 1]).eval()?;
        let images = raw.shape()[0];
        let raw = raw.take(rng.permutation(images), 0).eval()?;
        let split = images * 4 / 5;
        let pixels = [raw.slice(s![..split, ..PIXELS]), raw.slice(s![split.., ..PIXELS])];
        let labels = [raw.slice(s![..split, PIXELS]), raw.slice(s![split.., PIXELS])];
        let (mean, spread) = (pixels[0].mean(0), pixels[0].std(0));
        // a pixel that is blank in all images has no spread, so it is divided by 1
        let spread = select(spread.greater(1e-3), &spread, 1.0);
        let scale = [mean.to_device(device)?, spread.to_device(device)?];
        let on = |x: &Expr, y: &Expr| -> Result<[Array; 2]> {
            let x = x.astype(DType::F32).to_device(device)?;
            Ok([((&x - &scale[0]) / &scale[1]).eval()?, y.astype(DType::I32).to_device(device)?])
        };
        let (train, test) = (on(&pixels[0], &labels[0])?, on(&pixels[1], &labels[1])?);

        let mut normal = |n: usize, m: usize| rng.normal([n, m], DType::F32) * (2.0 / n as f64).sqrt();
        let zero = |n: usize| zeros([n], DType::F32);
        let weights = [normal(PIXELS, HIDDEN), zero(HIDDEN), normal(HIDDEN, CLASSES), zero(CLASSES)];
        let weights: Vec<Array> = weights.iter().map(|w| w.to_device(device)).collect::<Result<_>>()?;
        let means = || weights.iter().map(|w| zeros_like(w).eval()).collect::<Result<Vec<_>>>();
        let (means, squares) = (means()?, means()?);
        let state = (weights, means, squares);
        Ok(Network {
            device: device.clone(),
            rng,
            scale,
            train,
            test,
            state,
            step: Compiled::new::<Given>(step),
            done: 0,
        })
    }

    /// Trains for one epoch. Returns `None` if the training is finished.
    pub async fn epoch(&mut self) -> Result<Option<Report>> {
        let images = self.train[0].shape()[0];
        let epoch = self.done / images.div_ceil(BATCH) + 1;
        if epoch > EPOCHS {
            return Ok(None);
        }
        let order = self.rng.permutation(images).to_device(&self.device)?;
        let (x, y) = (self.train[0].take(&order, 0).eval()?, self.train[1].take(&order, 0).eval()?);
        let rates: Vec<f32> = (0..images.div_ceil(BATCH)).map(|i| rate(self.done + i, images)).collect();
        let rates = Array::from_vec(rates, [-1])?.to_device(&self.device)?;
        let mut losses = vec![];
        for (i, from) in (0..images).step_by(BATCH).enumerate() {
            let rows = s![from..from + BATCH];
            let (state, loss) = self.step.call(&(&self.state, x.slice(rows), y.slice(rows), rates.slice(s![i])))?;
            self.state = state;
            losses.push(loss);
            self.done += 1;
        }
        let found = scores(&self.weights(), &self.test[0]).argmax(-1).astype(DType::I32);
        let accuracy = found.equal(&self.test[1]).mean(..);
        let report = stack([stack(&losses, 0).mean(..), accuracy], 0).to_vec_async::<f32>().await?;
        Ok(Some(Report { epoch, epochs: EPOCHS, loss: report[0], accuracy: report[1] }))
    }

    /// Returns the probability of each digit for an image of 8 × 8 pixels from 0 to 16.
    pub async fn classify(&self, pixels: &[f32]) -> Result<Vec<f32>> {
        let x = Array::from_vec(pixels.to_vec(), [1, PIXELS])?.to_device(&self.device)?;
        let x = (x - &self.scale[0]) / &self.scale[1];
        scores(&self.weights(), &x).softmax(-1).to_vec_async::<f32>().await
    }

    fn weights(&self) -> Vec<Expr> {
        self.state.0.iter().map(Expr::from).collect()
    }
}

/// Returns a score for each digit.
fn scores(w: &[Expr], x: &Expr) -> Expr {
    (x.matmul(&w[0]) + &w[1]).relu().matmul(&w[2]) + &w[3]
}

/// One step of Adam (Kingma and Ba, 2015), with gradients by `grad_many`.
fn step((state, x, y, rate): Given) -> (State<Expr>, Expr) {
    let ((mut weights, mut means, mut squares), [b1, b2]) = (state, BETAS);
    let loss = scores(&weights, &x).cross_entropy(&y).mean(..);
    for (i, g) in grad_many(&loss, &weights).iter().enumerate() {
        means[i] = &means[i] * b1 + g * (1.0 - b1);
        squares[i] = &squares[i] * b2 + g.square() * (1.0 - b2);
        weights[i] = &weights[i] - &means[i] * &rate / (squares[i].sqrt() + 1e-8);
    }
    ((weights, means, squares), loss)
}

/// Returns the learning rate of a step. It falls to zero, and corrects the running means, which start at zero.
fn rate(step: usize, images: usize) -> f32 {
    let steps = images.div_ceil(BATCH) * EPOCHS;
    let [a, b] = BETAS.map(|b| 1.0 - b.powi(step as i32 + 1));
    (RATE * (1.0 - step as f64 / steps as f64) * b.sqrt() / a) as f32
}
