"""Seconds and memory of one training step of GraphTRIADS, for graph_building.py."""

import time

import torch
from skorch.callbacks import Callback
from torch.profiler import ProfilerActivity, profile

from trisk import CrystalGraphFeaturizer, GraphTRIADSRegressor

_N_STEPS = 4


class StepMeter(Callback):
    """Times every step of a training but the last, of which it takes the largest memory."""

    def on_train_begin(self, net, **kwargs):
        """Forget earlier steps."""
        self.seconds, self.megabytes = [], None

    def on_batch_begin(self, net, **kwargs):
        """Start the clock, or the profiler of memory."""
        self._profile = None
        if len(self.seconds) == _N_STEPS - 1:
            self._profile = profile(activities=[ProfilerActivity.CPU], profile_memory=True)
            self._profile.__enter__()
        self._started = time.process_time()

    def on_batch_end(self, net, **kwargs):
        """Stop it."""
        self.seconds.append(time.process_time() - self._started)
        if self._profile is not None:
            self._profile.__exit__(None, None, None)
            self.megabytes = _largest_sum(self._profile) / 1e6


def _largest_sum(profiler):
    """Most bytes that tensors held at once, beyond what they held before."""
    events = [e for e in profiler.profiler.kineto_results.events() if e.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def measure_step(structure, order):
    """Seconds and MB of a step, forward, backward and update, on one crystal.

    The network is the default one with a single member, and four cycles, after which trained gates
    close. The seconds are those of the fastest of some steps on one thread, the memory is that of
    all tensors but weights and the graph itself.
    """
    torch.set_num_threads(1)
    graphs = CrystalGraphFeaturizer(order=order).fit_transform([structure] * 2)
    meter = StepMeter()
    network = GraphTRIADSRegressor(
        order=order,
        n_members=1,
        batch_size=1,
        max_epochs=_N_STEPS // 2,
        max_cycles=4,
        callbacks=[meter],
        random_state=0,
        device="cpu",
    )
    network.fit(graphs, [1.0, 2.0])
    return min(meter.seconds[:-1]), meter.megabytes
