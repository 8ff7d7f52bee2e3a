//! The network itself: parameters by name, run between any two cuts.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor, Var};
use kernels::threads::on_workers;

use crate::architecture::MIN_SIDE_PX;
use crate::layers::{Buffers, GradientSlot, Parameters, Pooling};
use crate::{Architecture, Cut, Error, Gradient, Layer, LayerKind, layers};

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
    /// Held while gradients are taken: the slots of the parameters are there once.
    gradients_lock: Mutex<()>,
    /// What passes of this network keep, used again from pass to pass.
    buffers: Buffers,
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
    slot: GradientSlot,
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
        Ok(Self {
            architecture,
            device: device.clone(),
            layers,
            affine,
            gradients_lock: Mutex::new(()),
            buffers: Buffers::default(),
        })
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
        self.on_workers(|| self.run(from, to, inputs, mode))
    }

    /// Runs the layers between two cuts that lie in the network.
    fn run(&self, from: Cut, to: Cut, inputs: &Tensor, mode: Mode) -> Result<Tensor, Error> {
        let mut activations = inputs.clone();
        let mut next = from.index();
        while next < to.index() {
            let (stretch, len) = self.stretch(&self.layers[next..to.index()], next, mode);
            if stretch.is_empty() {
                activations = self.run_layer(next, &activations, mode)?;
                next += 1;
            } else {
                activations = layers::convolutions(&activations, stretch, &self.buffers)?;
                next += len;
            }
        }
        Ok(activations)
    }

    /// The convolutions that these layers begin with, each with the pool behind it, and the number of
    /// layers that they are. `first` is the index of the first of these layers.
    fn stretch(
        &self,
        layers: &[Layer],
        first: usize,
        mode: Mode,
    ) -> (Vec<(Parameters, Pooling)>, usize) {
        let mut stretch = Vec::new();
        let mut len = 0;
        let is_pool = |layer: &Layer| matches!(layer.kind, LayerKind::MaxPool);
        while let Some(Layer { kind: LayerKind::Convolution { .. }, .. }) = layers.get(len) {
            let parameters = self.parameters(first + len, mode);
            let is_pooled = layers.get(len + 1).is_some_and(is_pool);
            stretch.push((parameters, if is_pooled { Pooling::Max } else { Pooling::None }));
            len += if is_pooled { 2 } else { 1 };
        }
        (stretch, len)
    }

    /// The parameters of a layer that has some, as they take part in a pass.
    fn parameters(&self, index: usize, mode: Mode) -> Parameters {
        let affine = self.affine[index].as_ref();
        affine.expect("convolutions and dense layers have parameters").enter(mode)
    }

    /// The gradients of the trainable parameters, by name.
    ///
    /// Take them before the parameters are moved: what a pass does not keep, its way back computes from them anew. Not to be
    /// called from a task of the threads that share the kernels' work.
    ///
    /// # Errors
    ///
    /// [`Error::Tensor`] if the device fails.
    pub fn gradients(&self, loss: &Tensor) -> Result<BTreeMap<String, Gradient>, Error> {
        let _alone = self.gradients_lock.lock().unwrap_or_else(PoisonError::into_inner);
        // What another pass has left, whose gradients nobody has taken.
        self.clear_slots();
        let store = self.on_workers(|| loss.backward());
        let mut gradients = BTreeMap::new();
        if let Ok(store) = &store {
            let trainable = self.affine.iter().flatten().filter(|affine| affine.is_trainable);
            for parameter in trainable.flat_map(Affine::parameters) {
                // Candle leaves some tracked, and with them the graph of the whole pass.
                let stored =
                    store.get(&parameter.var).map(|stored| Gradient::Whole(stored.detach()));
                let gradient = match (parameter.slot.take(), stored) {
                    (Some(left), Some(stored)) => left.plus(&stored)?,
                    (Some(gradient), None) | (None, Some(gradient)) => gradient,
                    (None, None) => continue,
                };
                gradients.insert(parameter.name.clone(), gradient);
            }
        }
        self.clear_slots();
        store?;
        Ok(gradients)
    }

    /// Does the CPU's work on the threads that share it.
    fn on_workers<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        if self.device.is_cpu() { on_workers(work) } else { work() }
    }

    /// Empties every parameter's slot.
    fn clear_slots(&self) {
        for parameter in self.affine.iter().flatten().flat_map(Affine::parameters) {
            parameter.slot.take();
        }
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

    /// The parameters of the named layers, trainable or not, in the network's order.
    pub fn variables_of(&self, layer_names: &BTreeSet<String>) -> Vec<(&str, &Var)> {
        self.layers
            .iter()
            .zip(&self.affine)
            .filter(|(layer, _)| layer_names.contains(&layer.name))
            .filter_map(|(_, affine)| affine.as_ref())
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

    /// Runs one layer that is no convolution.
    fn run_layer(&self, index: usize, inputs: &Tensor, mode: Mode) -> Result<Tensor, Error> {
        let layer = &self.layers[index];
        let outputs = match layer.kind {
            LayerKind::Convolution { .. } => unreachable!("convolutions run in stretches"),
            LayerKind::MaxPool => layers::max_pool(inputs),
            LayerKind::Dense { activation, .. } => {
                layers::dense(inputs, self.parameters(index, mode), activation)
            }
            LayerKind::Dropout { rate } => match mode {
                Mode::Train { dropout_seed } => {
                    layers::dropout(inputs, rate, dropout_seed, &layer.name)
                }
                Mode::Eval => Ok(inputs.clone()),
            },
        };
        Ok(outputs?)
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
            parameters.push(Parameter { name: spec.name, var, slot: GradientSlot::default() });
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

    /// Weight and bias as they take part in a pass.
    fn enter(&self, mode: Mode) -> Parameters {
        let tensor = |parameter: &Parameter| match mode {
            Mode::Train { .. } if self.is_trainable => parameter.var.as_tensor().clone(),
            Mode::Train { .. } | Mode::Eval => parameter.var.as_detached_tensor(),
        };
        Parameters {
            weights: tensor(&self.weight),
            bias: tensor(&self.bias),
            weights_slot: self.weight.slot.clone(),
            bias_slot: self.bias.slot.clone(),
        }
    }
}
