//! What each stage trains and where its inputs may enter the network.

use std::collections::BTreeSet;

use model::{Cut, Vgg16};

use crate::{
    Error,
    recipe::{Recipe, Stage},
};

/// A stage, resolved for a network.
#[derive(Debug)]
pub(crate) struct StagePlan<'a> {
    /// Its recipe.
    pub(crate) stage: &'a Stage,
    /// The layers that learn.
    pub(crate) trainable: BTreeSet<String>,
    /// Below it nothing has changed since the run began: features here are the same for every
    /// image in every epoch of every fold.
    pub(crate) cut: Cut,
}

impl StagePlan<'_> {
    /// The layers that learn in an epoch, from 1: all, unless the blocks are opened one by one. Those
    /// of the head go together, as do those of a block.
    pub(crate) fn trainable_in(&self, epoch: usize) -> BTreeSet<String> {
        let Some(unfreeze) = self.stage.unfreeze else { return self.trainable.clone() };
        let opened = 1 + (epoch - 1) / unfreeze.every_epochs.get();
        let block = |layer: &str| match layer.strip_prefix("conv") {
            Some(rest) => rest.split('_').next().unwrap_or_default().to_owned(),
            // Behind every digit, as the head is behind every block.
            None => "head".to_owned(),
        };
        let blocks: BTreeSet<String> = self.trainable.iter().map(|layer| block(layer)).collect();
        let open: BTreeSet<String> = blocks.into_iter().rev().take(opened).collect();
        self.trainable.iter().filter(|layer| open.contains(&block(layer))).cloned().collect()
    }

    /// One line: what learns, and where images enter.
    pub(crate) fn describe(&self, network: &Vgg16) -> String {
        let layers = network.layers();
        // In the network's order, which is not that of names.
        let trains: Vec<&str> = layers
            .iter()
            .map(|layer| layer.name.as_str())
            .filter(|name| self.trainable.contains(*name))
            .collect();
        let from = match (&self.stage.augment, self.cut.index().checked_sub(1)) {
            (None, Some(layer)) => format!("on {} features, computed once", layers[layer].name),
            (Some(_), _) => "on augmented images".to_owned(),
            (None, None) => "on images".to_owned(),
        };
        format!("stage {}: trains {} {from}", self.stage.name, trains.join(", "))
    }
}

/// Resolves every stage. A layer that an earlier stage trained lies above the cut, also where it
/// is frozen later; with one model for all folds, later stages come before the next fold's first.
///
/// # Errors
///
/// [`Error::Recipe`] if a stage leaves a layer uncovered or trains none.
pub(crate) fn plan<'a>(
    recipe_name: &str,
    recipe: &'a Recipe,
    network: &mut Vgg16,
) -> Result<Vec<StagePlan<'a>>, Error> {
    let mut plans = Vec::new();
    let mut lowest_touched = network.architecture().end();
    for stage in &recipe.stages {
        let trainable = stage
            .trainable(network.layers())
            .map_err(|problem| Error::Recipe { name: recipe_name.to_owned(), problem })?;
        network.set_trainable(&trainable)?;
        lowest_touched = lowest_touched.min(network.lowest_trainable());
        plans.push(StagePlan { stage, trainable, cut: lowest_touched });
    }
    if !recipe.fresh_model_per_fold {
        for plan in &mut plans {
            plan.cut = lowest_touched;
        }
    }
    Ok(plans)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::{DType, Device, Tensor};
    use model::{Architecture, Classifier, Head, Widths};

    use super::*;

    fn network(head: Head) -> Vgg16 {
        let architecture = Architecture {
            widths: Widths { blocks: [1; 5], fc: 2 },
            side_px: 48,
            classifier: Some(Classifier::new(head, 2)),
        };
        let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let tensors: BTreeMap<_, _> = architecture
            .parameters()
            .into_iter()
            .map(|spec| (spec.name, zeros(&spec.shape)))
            .collect();
        Vgg16::new(architecture, tensors, &Device::Cpu).unwrap()
    }

    fn cuts(name: &str, change: impl Fn(&mut Recipe)) -> Vec<usize> {
        let mut recipe = Recipe::builtin(name).unwrap();
        change(&mut recipe);
        let plans = plan(name, &recipe, &mut network(recipe.head)).unwrap();
        plans.iter().map(|plan| plan.cut.index()).collect()
    }

    #[test]
    fn blocks_are_opened_from_the_head_down() {
        let mut recipe = Recipe::builtin("low-rate").unwrap();
        recipe.stages[0].unfreeze =
            Some(crate::recipe::Unfreeze { every_epochs: 2.try_into().unwrap() });
        let mut network = network(recipe.head);
        let plan = plan("r", &recipe, &mut network).unwrap().remove(0);
        let counts: Vec<usize> = (1..=12).map(|epoch| plan.trainable_in(epoch).len()).collect();
        assert_eq!(counts, [2, 2, 5, 5, 8, 8, 11, 11, 13, 13, 15, 15]);
        assert!(
            plan.trainable_in(3).contains("conv5_1") && !plan.trainable_in(3).contains("conv4_3")
        );
        assert_eq!(plan.trainable_in(99), plan.trainable);
    }

    #[test]
    fn the_head_is_cut_at_pool5_and_the_last_block_at_pool4() {
        assert_eq!(cuts("two-stage", |_| ()), [18, 14]);
        assert_eq!(cuts("naive", |_| ()), [0]);
    }

    #[test]
    fn a_layer_trained_before_stays_above_the_cut() {
        assert_eq!(cuts("two-stage", |recipe| recipe.stages.reverse()), [14, 14]);
    }

    #[test]
    fn one_model_for_all_folds_is_cut_below_all_that_any_stage_trains() {
        assert_eq!(cuts("two-stage", |recipe| recipe.fresh_model_per_fold = false), [14, 14]);
    }
}
