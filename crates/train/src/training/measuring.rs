//! A stage's network measured: on the fold's validation images, and on those that steer.

use model::{Cut, Vgg16};
use preprocess::TestTimeViews;

use super::{
    Experiment, Inputs,
    evaluation::{Evaluation, Held, evaluate},
    stage::StageRun,
};
use crate::Error;

impl StageRun<'_> {
    /// Evaluates the network on the fold's validation images.
    pub(crate) fn validate(&self, network: &Vgg16) -> Result<Evaluation, Error> {
        let (inputs, cut) = self.experiment.inputs_at(self.plan.cut);
        self.evaluate(network, &inputs, cut, &self.fold.validation)
    }

    /// Evaluates it on the images that steer the schedules, if there are any.
    pub(crate) fn steer(&self, network: &Vgg16) -> Result<Option<Evaluation>, Error> {
        if self.steering.is_empty() {
            return Ok(None);
        }
        let (inputs, cut) = self.experiment.inputs_at(self.plan.cut);
        self.evaluate(network, &inputs, cut, self.steering).map(Some)
    }

    /// Evaluates it on images, over several views of each.
    pub(crate) fn evaluate_views(
        &self,
        network: &Vgg16,
        views: TestTimeViews,
        images: &[usize],
    ) -> Result<Evaluation, Error> {
        let Experiment { prepared, normalization, recipe, .. } = self.experiment;
        let evaluated = views.views().into_iter().map(|view| {
            let inputs = Inputs::viewed(prepared, *normalization, view);
            self.evaluate(network, &inputs, Cut::IMAGES, images)
        });
        let evaluated = evaluated.collect::<Result<_, _>>()?;
        let labels = self.experiment.labels_of(images);
        Evaluation::averaged(recipe.loss, evaluated, &labels)
    }

    fn evaluate(
        &self,
        network: &Vgg16,
        inputs: &Inputs<'_>,
        cut: Cut,
        indices: &[usize],
    ) -> Result<Evaluation, Error> {
        let experiment = self.experiment;
        let progress = terminal::bar(
            format!("fold {} {} validation", self.fold.index, self.plan.stage.name),
            terminal::Unit::Things("images"),
        );
        let held = Held {
            inputs,
            cut,
            indices,
            labels: &experiment.labels,
            batch_size: experiment.recipe.batch_size.get(),
        };
        let kind = experiment.recipe.loss;
        evaluate(network, held, kind, &progress, experiment.interrupt, self.fold.index)
    }
}
