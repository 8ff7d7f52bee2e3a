//! The network itself: parameters by name, run between any two cuts.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{DType, Device, Tensor, Var};

use crate::architecture::MIN_SIDE_PX;
use crate::layers::{Activations, Pooling};
use crate::{Architecture, Cut, Error, Layer, LayerKind, layers};

/// What the network is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// To learn: dropout is active, and gradients can be taken of the trainable parameters.
    Train {
        /// From which dropout's masks are drawn; another one at each step.
        dropout_seed: u64,
    },
    /// To use: no dropout, and no gradient of any parameter, so that each layer's activations
    /// are freed as soon as the next layer has read them.
    Eval,
}

/// VGG16 with its head, or the backbone alone.
#[derive(Debug)]
pub struct Vgg16 {
    architecture: Architecture,
    device: Device,
    layers: Vec<Layer>,
    /// Parameters of the layer at the same place, where it has any.
    affine: Vec<Option<Affine>>,
}

/// The parameters of one layer.
#[derive(Debug)]
struct Affine {
    weight: Parameter,
    bias: Parameter,
    is_trainable: bool,
}

/// A named variable.
#[derive(Debug)]
struct Parameter {
    name: String,
    var: Var,
}

impl Vgg16 {
    /// Builds a network from its parameters, which are copied to the device; all are trainable.
    ///
    /// # Errors
    ///
    /// [`Error::MissingParameter`], [`Error::UnexpectedParameter`], [`Error::Shape`] or
    /// [`Error::DType`] unless `tensors` are exactly the architecture's parameters, in f32;
    /// [`Error::Side`] if its images are too small.
    pub fn new(
        architecture: Architecture,
        mut tensors: BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Self, Error> {
        if architecture.side_px < MIN_SIDE_PX {
            return Err(Error::Side { expected: MIN_SIDE_PX, found: architecture.side_px });
        }
        let layers = architecture.layers();
        let affine = layers
            .iter()
            .map(|layer| Affine::take(layer, &mut tensors, device))
            .collect::<Result<_, _>>()?;
        if let Some(name) = tensors.into_keys().next() {
            return Err(Error::UnexpectedParameter { name });
        }
        Ok(Self { architecture, device: device.clone(), layers, affine })
    }

    /// What the network is made of.
    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The layers in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Where the parameters are, and where inputs have to be.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Runs the layers between two cuts.
    ///
    /// # Shapes
    ///
    /// - `inputs`: `(batch, ..)` with [`Architecture::shape_at`] `from`, f32; at
    ///   [`Cut::IMAGES`] `(batch, 3, side, side)`, BGR, normalized
    /// - returns `(batch, ..)` with [`Architecture::shape_at`] `to`, f32
    ///
    /// # Errors
    ///
    /// [`Error::Stretch`] if `to` lies before `from` or behind the last layer, [`Error::Shape`]
    /// or [`Error::DType`] if the inputs do not fit, [`Error::Tensor`] if the device fails.
    pub fn forward(
        &self,
        from: Cut,
        to: Cut,
        inputs: &Tensor,
        mode: Mode,
    ) -> Result<Tensor, Error> {
        if to < from || self.layers.len() < to.index() {
            return Err(Error::Stretch {
                from: from.index(),
                to: to.index(),
                layers: self.layers.len(),
            });
        }
        self.check_inputs(from, inputs)?;
        let mut activations = Activations::Plain(inputs.clone());
        let mut next = from.index();
        while next < to.index() {
            let is_pooled = next + 1 < to.index()
                && matches!(self.layers[next].kind, LayerKind::Convolution { .. })
                && matches!(self.layers[next + 1].kind, LayerKind::MaxPool);
            let pooling = if is_pooled { Pooling::Max } else { Pooling::None };
            activations = self.run(next, pooling, activations, mode)?;
            next += if is_pooled { 2 } else { 1 };
        }
        Ok(activations.plain()?)
    }

    /// Scores every class for each of the inputs: runs all layers behind a cut.
    ///
    /// # Shapes
    ///
    /// - `inputs`: as for [`Vgg16::forward`]
    /// - returns logits: `(batch, num_classes)`, f32, before softmax
    ///
    /// # Errors
    ///
    /// [`Error::NoClassifier`] if this is a backbone; otherwise as [`Vgg16::forward`].
    pub fn logits(&self, from: Cut, inputs: &Tensor, mode: Mode) -> Result<Tensor, Error> {
        match self.architecture.classifier {
            None => Err(Error::NoClassifier),
            Some(_) => self.forward(from, self.architecture.end(), inputs, mode),
        }
    }

    /// Makes the named layers trainable and freezes all others.
    ///
    /// Frozen parameters enter the graph detached: no gradient is computed for them, and none
    /// for anything below the lowest trainable layer. Naming a layer without parameters has no
    /// effect.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownLayer`] if there is no layer of some name; nothing is changed then.
    pub fn set_trainable(&mut self, layer_names: &BTreeSet<String>) -> Result<(), Error> {
        let is_unknown = |name: &&String| self.layers.iter().all(|layer| layer.name != **name);
        if let Some(name) = layer_names.iter().find(is_unknown) {
            return Err(Error::unknown_layer(name, &self.layers));
        }
        for (layer, affine) in self.layers.iter().zip(&mut self.affine) {
            if let Some(affine) = affine {
                affine.is_trainable = layer_names.contains(&layer.name);
            }
        }
        Ok(())
    }

    /// The trainable parameters by name, in the network's order.
    pub fn variables(&self) -> Vec<(&str, &Var)> {
        self.affine
            .iter()
            .flatten()
            .filter(|affine| affine.is_trainable)
            .flat_map(Affine::parameters)
            .map(|parameter| (parameter.name.as_str(), &parameter.var))
            .collect()
    }

    /// The last cut whose activations do not change while the network learns.
    ///
    /// It lies before the first trainable layer, but behind no dropout: that one's output is
    /// another at each step.
    pub fn lowest_trainable(&self) -> Cut {
        let changes = self.layers.iter().zip(&self.affine).position(|(layer, affine)| {
            matches!(layer.kind, LayerKind::Dropout { .. })
                || affine.as_ref().is_some_and(|affine| affine.is_trainable)
        });
        Cut::before(changes.unwrap_or(self.layers.len()))
    }

    /// A copy of all parameters by name; later updates do not reach it.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if the device has no room.
    pub fn tensors(&self) -> Result<BTreeMap<String, Tensor>, Error> {
        self.affine
            .iter()
            .flatten()
            .flat_map(Affine::parameters)
            .map(|parameter| {
                Ok((parameter.name.clone(), parameter.var.as_detached_tensor().copy()?))
            })
            .collect()
    }

    /// Runs one layer; a convolution together with the pool behind it, if there is one.
    fn run(
        &self,
        index: usize,
        pooling: Pooling,
        inputs: Activations,
        mode: Mode,
    ) -> Result<Activations, Error> {
        let parameters = || {
            self.affine[index]
                .as_ref()
                .expect("convolutions and dense layers have parameters")
                .enter(mode)
        };
        let layer = &self.layers[index];
        let outputs = match layer.kind {
            LayerKind::Convolution { .. } => {
                let (weight, bias) = parameters();
                layers::convolution(inputs, &weight, &bias, pooling)?
            }
            LayerKind::MaxPool => layers::max_pool(inputs)?,
            LayerKind::Dense { activation, .. } => {
                let (weight, bias) = parameters();
                Activations::Plain(layers::dense(&inputs.plain()?, &weight, &bias, activation)?)
            }
            LayerKind::Dropout { rate } => match mode {
                Mode::Train { dropout_seed } => {
                    let inputs = inputs.plain()?;
                    let kept = layers::dropout(&inputs, rate, dropout_seed, &layer.name)?;
                    Activations::Plain(kept)
                }
                Mode::Eval => inputs,
            },
        };
        Ok(outputs)
    }

    /// Refuses inputs that the layer behind the cut cannot read.
    fn check_inputs(&self, from: Cut, inputs: &Tensor) -> Result<(), Error> {
        let name = || match from.index().checked_sub(1) {
            None => "images".to_owned(),
            Some(before) => format!("activations behind {}", self.layers[before].name),
        };
        let shape = self.architecture.shape_at(from)?;
        match inputs.dims() {
            [batch, image @ ..] if 0 < *batch && *image == shape => {}
            found => {
                let batch = found.first().copied().unwrap_or(1).max(1);
                let expected = [vec![batch], shape].concat();
                return Err(Error::Shape { name: name(), expected, found: found.to_vec() });
            }
        }
        match inputs.dtype() {
            DType::F32 => Ok(()),
            found => Err(Error::DType { name: name(), found }),
        }
    }
}

impl Affine {
    /// Takes a layer's parameters out of the map, if it has any.
    fn take(
        layer: &Layer,
        tensors: &mut BTreeMap<String, Tensor>,
        device: &Device,
    ) -> Result<Option<Self>, Error> {
        let mut parameters = Vec::new();
        for spec in layer.parameters() {
            let Some(tensor) = tensors.remove(&spec.name) else {
                return Err(Error::MissingParameter { name: spec.name });
            };
            if tensor.dims() != spec.shape {
                let found = tensor.dims().to_vec();
                return Err(Error::Shape { name: spec.name, expected: spec.shape, found });
            }
            if tensor.dtype() != DType::F32 {
                return Err(Error::DType { name: spec.name, found: tensor.dtype() });
            }
            // A variable made of a variable would share its storage, so it is detached first.
            let var = Var::from_tensor(&tensor.detach().to_device(device)?)?;
            parameters.push(Parameter { name: spec.name, var });
        }
        let mut parameters = parameters.into_iter();
        Ok(parameters.next().zip(parameters.next()).map(|(weight, bias)| Self {
            weight,
            bias,
            is_trainable: true,
        }))
    }

    fn parameters(&self) -> [&Parameter; 2] {
        [&self.weight, &self.bias]
    }

    /// Weight and bias as they take part in a run.
    fn enter(&self, mode: Mode) -> (Tensor, Tensor) {
        let tensor = |parameter: &Parameter| match mode {
            Mode::Train { .. } if self.is_trainable => parameter.var.as_tensor().clone(),
            Mode::Train { .. } | Mode::Eval => parameter.var.as_detached_tensor(),
        };
        (tensor(&self.weight), tensor(&self.bias))
    }
}
