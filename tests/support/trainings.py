"""Observers and stop requests for trainings in tests."""


class KeepTraining:
    """An observer that keeps the training and the names of the recipes that began."""

    def __init__(self):
        self.names = []
        self.rates = []

    def started(self, training):
        self.training = training
        self.names.append(training.recipe.name)

    def batch_done(self, training, loss, accuracy, rate):
        self.rates.append(rate)

    def epoch_done(self, training, metrics):
        self.metrics = metrics


class StopAfter:
    """A `stop` that returns true from its n-th call on."""

    def __init__(self, calls):
        self.left = calls

    def __call__(self):
        self.left -= 1
        return self.left <= 0
