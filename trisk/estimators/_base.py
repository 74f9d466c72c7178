"""What every member-batched estimator does, whatever its input."""

from contextlib import contextmanager

from sklearn.base import BaseEstimator

from trisk.estimators._saving import SavingMixin
from trisk.estimators._schedule import AutomaticSchedule
from trisk.estimators._search_space import SearchSpaceMixin
from trisk.estimators._training import MemberNet, NetSnapshot, resolve_device, restore_net


class BaseMemberEstimator(SavingMixin, SearchSpaceMixin, BaseEstimator):
    """An ensemble of networks trained as one.

    A subclass prepares its training set in `fit`, hands it to
    :func:`trisk.estimators._training.train_members` with its module, and says in
    ``_search_space`` what is worth tuning.
    """

    _net_class: type[MemberNet] = MemberNet
    #: What serves the batches of an epoch.
    _batches_class: type
    _schedule = AutomaticSchedule(n_steps=320, n_rows=250, n_batches=32, smallest=32, largest=512)

    def __trisk_state__(self):
        """Fitted attributes for :mod:`trisk.persistence`, the net as parameters and arrays."""
        state = {k: v for k, v in vars(self).items() if k.endswith("_") and k != "net_"}
        if hasattr(self, "net_"):
            state["net_"] = self.net_.portable_state()
        return state

    def __trisk_restore__(self, state):
        """Take fitted attributes back and rebuild the net."""
        net = state.pop("net_", None)
        self.__dict__.update(state)
        if net is not None:
            self.net_ = restore_net(self._net_class, self._module, net, resolve_device(self.device))

    @contextmanager
    def lend_net(self, net, members):
        """Predict for a while with some members of a net that is still training.

        Parameters
        ----------
        net : MemberNet
            The net.
        members : slice
            This estimator's members of it.

        Yields
        ------
        None
            While the estimator predicts with it.
        """
        self.net_ = NetSnapshot(net.member_module(members))
        try:
            yield
        finally:
            del self.net_

    def __sklearn_is_fitted__(self):
        """A fit that failed half-way leaves attributes, but no net."""
        return hasattr(self, "net_")

    def _net_params(self):
        """Further parameters of the net."""
        return {}


def pass_on_interruption(net):
    """Raise KeyboardInterrupt if a user stopped the training of this net."""
    if net.interrupted_:
        raise KeyboardInterrupt(
            f"training stopped after {len(net.history)} of {net.max_epochs} epochs; "
            "the estimator is fitted with the weights reached so far"
        )
