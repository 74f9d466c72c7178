"""How long a training with automatic settings lasts."""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AutomaticSchedule:
    """Batch size and number of epochs that grow with the training set.

    The batch grows with the rows, and the number of steps with their square root.

    Attributes
    ----------
    n_steps : int
        Steps of optimisation on few rows.
    n_rows : int
        How many rows still count as few.
    n_batches : int
        About how many batches an epoch has, within the limits of the batch size.
    smallest, largest : int
        These limits, in rows.
    """

    n_steps: int
    n_rows: int
    n_batches: int
    smallest: int
    largest: int

    def resolve(self, estimator, n_rows):
        """Settings of a training.

        Parameters
        ----------
        estimator : estimator
            Its ``batch_size`` and ``max_epochs`` are numbers, or ``"auto"``.
        n_rows : int
            Training rows.

        Returns
        -------
        batch_size, max_epochs : int
            The estimator's own, or the automatic ones in their place.
        """
        batch_size, max_epochs = estimator.batch_size, estimator.max_epochs
        if batch_size == "auto":
            power = 2 ** round(math.log2(n_rows / self.n_batches))
            batch_size = int(np.clip(power, self.smallest, self.largest))
        if max_epochs == "auto":
            n_steps = self.n_steps * math.sqrt(max(1.0, n_rows / self.n_rows))
            max_epochs = math.ceil(n_steps / math.ceil(n_rows / batch_size))
        return batch_size, max_epochs
