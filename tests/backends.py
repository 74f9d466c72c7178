"""Backends of joblib, and what each needs around it."""

import contextlib

import joblib
import pytest

BACKENDS = pytest.mark.parametrize(
    "backend", ["loky", "threading", "multiprocessing", "dask", "ray"]
)


@contextlib.contextmanager
def two_workers(backend):
    """Run on two workers of a backend; skip where its package is not installed."""
    with contextlib.ExitStack() as around:
        if backend == "dask":
            distributed = pytest.importorskip("distributed", reason="pip install 'trisk[dask]'")
            around.enter_context(
                distributed.Client(
                    n_workers=1, threads_per_worker=2, processes=False, dashboard_address=":0"
                )
            )
        elif backend == "ray":
            ray = pytest.importorskip("ray", reason="pip install 'trisk[ray]'")
            from ray.util.joblib import register_ray

            ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
            around.callback(ray.shutdown)
            register_ray()
        around.enter_context(joblib.parallel_config(backend, n_jobs=2))
        yield
