//! A fold's checkpoint: everything from which it goes on to the same bits.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use model::{Vgg16, weights::temporary_beside};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::{
    plan::StagePlan,
    state::{FoldProgress, FoldState, StageProgress, StageState},
};
use crate::{
    Error,
    device::device_name,
    features::ARITHMETIC_VERSION,
    optimizer::{Optimizer, OptimizerState, ParameterMoments},
    run::RunIdentity,
    tensor_file::{Piece, TensorFile, Values, write_tensors},
    weight_averaging::{AverageState, WeightAverage},
};

/// Name of the file in a fold's folder.
pub(crate) const FILE_NAME: &str = "checkpoint.safetensors";

const WORD: &str = "checkpoint";

const REFERENCE: &str = "reference";

/// What stands in the file beside the tensors.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    run: RunIdentity,
    /// Of the program.
    version: String,
    /// Of the kernels: others would round otherwise.
    arithmetic_version: String,
    /// Others round otherwise.
    device: String,
    fold: FoldProgress,
    has_reference: bool,
    stages: Vec<Option<StageHeader>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StageHeader {
    progress: StageProgress,
    /// Steps that each parameter has done.
    optimizer_steps: BTreeMap<String, u32>,
    average_updates: Option<u32>,
    has_best: bool,
}

/// A stage with what it lends to be written.
struct Lent<'a> {
    stage: &'a StageState,
    optimizer: OptimizerState<'a>,
    average: Option<AverageState<'a>>,
}

impl<'a> Lent<'a> {
    fn by(stage: &'a StageState) -> Result<Self, Error> {
        let average = stage.average.as_ref().map(WeightAverage::state).transpose()?;
        Ok(Self { stage, optimizer: stage.optimizer.state()?, average })
    }
}

/// Writes a checkpoint into a temporary file beside `path`, which is not yet on the disk for certain.
///
/// `changed` are the layers that the run trains; all others are as the weights file has them.
///
/// # Errors
///
/// [`Error::Write`] if the disk fails or is full.
pub(crate) fn write(
    path: &Path,
    run: &RunIdentity,
    network: &Vgg16,
    changed: &BTreeSet<String>,
    fold_state: &FoldState,
) -> Result<NamedTempFile, Error> {
    // On a CPU moments and averages are lent, and live until they are written.
    let lent = fold_state
        .stages
        .iter()
        .map(|stage| stage.as_ref().map(Lent::by).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let steps = |(name, moments): (&String, &ParameterMoments<'_>)| (name.clone(), moments.steps);
    let stage_header = |lent: &Lent<'_>| StageHeader {
        progress: lent.stage.progress.clone(),
        optimizer_steps: lent.optimizer.moments.iter().map(steps).collect(),
        average_updates: lent.average.as_ref().map(|average| average.updates),
        has_best: lent.stage.best.is_some(),
    };
    let header = Header {
        run: run.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arithmetic_version: ARITHMETIC_VERSION.to_owned(),
        device: device_name(network.device()),
        fold: fold_state.progress.clone(),
        has_reference: fold_state.reference.is_some(),
        stages: lent.iter().map(|lent| lent.as_ref().map(stage_header)).collect(),
    };
    let mut pieces = Vec::new();
    if let Some(reference) = &fold_state.reference {
        let values = Values::Tensor(reference.clone());
        pieces.push(Piece { name: REFERENCE.to_owned(), values });
    }
    for (name, var) in network.variables_of(changed) {
        let values = Values::Tensor(var.as_detached_tensor());
        pieces.push(Piece { name: format!("weights/{name}"), values });
    }
    for (number, lent) in lent.iter().enumerate() {
        let Some(Lent { stage, optimizer, average }) = lent else { continue };
        for (name, tensor) in stage.best.iter().flatten() {
            let values = Values::Tensor(tensor.clone());
            pieces.push(Piece { name: format!("best-{number}/{name}"), values });
        }
        for (name, values) in average.iter().flat_map(|average| &average.averages) {
            let values = Values::Slice(values);
            pieces.push(Piece { name: format!("average-{number}/{name}"), values });
        }
        for (name, moments) in &optimizer.moments {
            for (kind, values) in [("momentum", &moments.momentum), ("velocity", &moments.velocity)]
            {
                let values = Values::Slice(values);
                pieces.push(Piece { name: format!("{kind}-{number}/{name}"), values });
            }
        }
    }
    let header = serde_json::to_string(&header).expect("a checkpoint's header has plain fields");
    let written = temporary_beside(path).and_then(|file| {
        write_tensors(file.as_file(), (WORD, header), &pieces)?;
        Ok(file)
    });
    written.map_err(|source| Error::Write { path: path.to_owned(), source })
}

/// Takes up a checkpoint: sets the network's weights and gives the state of its fold; `None` where
/// there is none.
///
/// # Errors
///
/// [`Error::OtherCheckpoint`] if it is of another run or program, [`Error::Format`] if it is
/// damaged, [`Error::Read`] if the disk fails.
pub(crate) fn read(
    path: &Path,
    run: &RunIdentity,
    network: &mut Vgg16,
    plans: &[StagePlan<'_>],
) -> Result<Option<FoldState>, Error> {
    if !path.exists() {
        return Ok(None);
    }
    let file = TensorFile::open(path)?;
    file.check_length()?;
    let header = header(&file)?;
    check_same(path, run, &device_name(network.device()), &header)?;
    let changed: BTreeSet<String> =
        plans.iter().flat_map(|plan| plan.trainable.iter().cloned()).collect();
    for (name, var) in network.variables_of(&changed) {
        var.set(&file.read(&format!("weights/{name}"))?.to_device(network.device())?)?;
    }
    let mut stages = Vec::new();
    for (number, (stage, plan)) in header.stages.into_iter().zip(plans).enumerate() {
        let Some(stage) = stage else {
            stages.push(None);
            continue;
        };
        let restored = Restored { file: &file, number, plan, network };
        stages.push(Some(restored.stage(stage)?));
    }
    let reference = header.has_reference.then(|| file.read(REFERENCE)).transpose()?;
    Ok(Some(FoldState { progress: header.fold, stages, reference }))
}

/// A stage that is taken up from a file.
struct Restored<'a> {
    file: &'a TensorFile,
    /// From 0.
    number: usize,
    plan: &'a StagePlan<'a>,
    network: &'a Vgg16,
}

impl Restored<'_> {
    fn stage(&self, header: StageHeader) -> Result<StageState, Error> {
        let stage = self.plan.stage;
        let variables = self.network.variables_of(&self.plan.trainable);
        let mut moments = BTreeMap::new();
        for (name, steps) in header.optimizer_steps {
            let momentum = self.values("momentum", &name)?.into();
            let velocity = self.values("velocity", &name)?.into();
            moments.insert(name, ParameterMoments { steps, momentum, velocity });
        }
        let optimizer =
            Optimizer::restore(stage.optimizer, OptimizerState { moments }, &variables)?;
        let average = match (stage.weight_averaging, header.average_updates) {
            (Some(config), Some(updates)) => {
                let read = |name: String| Ok((name.clone(), self.values("average", &name)?.into()));
                let names = self.names("average").into_iter();
                let averages = names.map(read).collect::<Result<_, Error>>()?;
                let average = AverageState { updates, averages };
                Some(WeightAverage::restore(config, average, &variables)?)
            }
            _ => None,
        };
        let read = |name: String| -> Result<_, Error> {
            let tensor = self.file.read(&self.name("best", &name))?;
            Ok((name, tensor.to_device(self.network.device())?))
        };
        let best = header.has_best.then(|| self.names("best").into_iter().map(read).collect());
        let best = best.transpose()?;
        Ok(StageState { progress: header.progress, optimizer, average, best })
    }

    fn name(&self, kind: &str, parameter: &str) -> String {
        format!("{kind}-{}/{parameter}", self.number)
    }

    fn names(&self, kind: &str) -> Vec<String> {
        self.file.names(&self.name(kind, ""))
    }

    fn values(&self, kind: &str, parameter: &str) -> Result<Vec<f32>, Error> {
        Ok(self.file.read(&self.name(kind, parameter))?.flatten_all()?.to_vec1()?)
    }
}

/// How many records a checkpoint counts on; none where there is no checkpoint.
///
/// # Errors
///
/// [`Error::Format`] if it is damaged, [`Error::Read`] if the disk fails.
pub(crate) fn records(path: &Path) -> Result<usize, Error> {
    if !path.exists() {
        return Ok(0);
    }
    Ok(header(&TensorFile::open(path)?)?.fold.records)
}

fn header(file: &TensorFile) -> Result<Header, Error> {
    let broken = |problem: String| Error::Format { path: file.path.clone(), problem };
    let word = file.word(WORD).ok_or_else(|| broken("is no checkpoint; delete it".to_owned()))?;
    serde_json::from_str(word).map_err(|cause| {
        broken(format!(
            "is a checkpoint of another version ({cause}); delete it to begin the fold anew"
        ))
    })
}

/// Refuses what another run or program has left.
fn check_same(path: &Path, run: &RunIdentity, device: &str, header: &Header) -> Result<(), Error> {
    let other = |what, found: &str, expected: &str| Error::OtherCheckpoint {
        path: path.to_owned(),
        what,
        found: found.to_owned(),
        expected: expected.to_owned(),
    };
    if let Some(difference) = header.run.difference_from(run) {
        let (what, found, expected) = difference;
        return Err(other(what, &found, &expected));
    }
    let version = env!("CARGO_PKG_VERSION");
    if header.version != version {
        return Err(other("the program's version", &header.version, version));
    }
    if header.arithmetic_version != ARITHMETIC_VERSION {
        let found = &header.arithmetic_version;
        return Err(other("the version of the arithmetic", found, ARITHMETIC_VERSION));
    }
    if header.device != device {
        return Err(other("the device", &header.device, device));
    }
    Ok(())
}
