"""How far a search has come."""

from tqdm.auto import tqdm

from trisk.model_selection._study import live_trials


class StudyProgress:
    """A bar over the finished trials of a study, whoever finishes them.

    Parameters
    ----------
    n_trials : int
        Trials of the whole study.
    study : optuna.Study
        The study; some of its trials may be finished already.
    enabled : bool
        Whether to show anything.
    """

    def __init__(self, n_trials, study, *, enabled):
        self.bar = tqdm(total=n_trials, unit="trial", desc="search", disable=not enabled)
        self(study)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.bar.close()

    def __call__(self, study):
        trials = live_trials(study)
        values = [t.value for t in trials if t.state.name == "COMPLETE"]
        shown = {"pruned": sum(t.state.name == "PRUNED" for t in trials)}
        if values:
            shown["best"] = f"{max(values):.4g}"
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(sum(t.state.is_finished() for t in trials) - self.bar.n)
