"""Calibrated probabilities of a run where its classes have other shares than they had there."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ntjax.calibration import LabelwiseCalibration, at_prior
from ntjax.errors import UserError

if TYPE_CHECKING:
    from ntjax.runs.run import Run

Prior = float | Mapping[str, float]
"""Share of the positive class of two, or shares by the name of a class or label."""

_SUM_TOLERANCE = 1e-6
_NUMBER = r"=\s*([0-9.eE+-]+)\s*"


def read_prior(text: str, names: Sequence[str]) -> Prior:
    """Read a prior as it is typed: `0.01`, or `name=share,name=share`.

    >>> read_prior("0.01", ["no", "yes"]), read_prior("a,b=0.2, c=0.8", ["a,b", "c"])
    (0.01, {'a,b': 0.2, 'c': 0.8})

    Raises:
        UserError: it is neither.
    """
    try:
        return float(text)
    except ValueError:
        pass
    known = "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))
    shares, rest = {}, text
    while found := re.match(rf"\s*({known}){_NUMBER}(?:,|$)", rest):
        if found[1] in shares:
            raise UserError(f"--prior {text}: {found[1]} stands twice")
        try:
            shares[found[1]] = float(found[2])
        except ValueError:
            break
        rest = rest[found.end() :]
    if rest or not shares:
        raise UserError(
            f"--prior {text}: give one share, such as 0.01, or name=share,… with the names "
            + ", ".join(names[:10])
        )
    return shares


def new_shares(run: "Run", prior: Prior) -> np.ndarray:
    """Return the share of each output, float64 [outputs]; NaN for labels that keep theirs.

    Raises:
        UserError: the run has no calibration at a known prior, a name is not known, shares are not
            between 0 and 1, or those of classes do not sum to 1.
    """
    if not run.task.has_probabilities:
        raise UserError("--prior is for probabilities, which a regression has not: leave it out")
    if run.calibration is None:
        raise UserError(
            "--prior needs calibrated probabilities, and this run was not calibrated: too few "
            "rows, or none, were set aside for it"
        )
    if run.calibration_shares is None:
        raise UserError(
            "--prior needs the shares of the calibration rows, which this run of an earlier "
            "version did not keep: train it again"
        )
    for name, share in zip(run.classes, run.calibration_shares, strict=True):
        if not 0 < share < 1:
            raise UserError(
                f"--prior: of the rows that this run was calibrated on {share:.0%} were {name}: "
                "probabilities at other shares cannot be told from them"
            )
    if isinstance(run.calibration, LabelwiseCalibration):
        return _of_labels(run.classes, run.calibration, prior)
    return _of_classes(run.classes, prior)


def checked_shares(
    run: "Run", prior: Prior | None, average_strands: bool | None
) -> np.ndarray | None:
    """Return `new_shares` for outputs of these strands; None where there is no prior.

    Raises:
        UserError: as `new_shares`, or the run was calibrated on outputs of other strands.
    """
    if prior is None:
        return None
    if run.calibration is not None and not run.strands.are(average_strands):
        raise UserError(
            f"--prior: this run was calibrated on outputs of {run.strands.read}: leave "
            "--average-strands or --prior out"
        )
    return new_shares(run, prior)


def _of_classes(names: Sequence[str], prior: Prior) -> np.ndarray:
    if not isinstance(prior, Mapping):
        if len(names) != 2:
            raise UserError(f"--prior {prior:g}: give name=share for each of {', '.join(names)}")
        prior = {names[1]: prior}
    shares = np.array([_share(prior, name) for name in names])
    _refuse_unknown(prior, names)
    if np.isnan(shares).sum() == 1:  # what is left is the other's
        shares[np.isnan(shares)] = 1 - np.nansum(shares)
    if np.isnan(shares).any():
        missing = [name for name, share in zip(names, shares, strict=True) if np.isnan(share)]
        raise UserError(f"--prior: give the share of {', '.join(missing)} too")
    if abs(shares.sum() - 1) > _SUM_TOLERANCE or not (shares > 0).all():
        raise UserError(
            "--prior: the shares of the classes should be above 0 and sum to 1, not "
            + ", ".join(f"{name}={share:g}" for name, share in zip(names, shares, strict=True))
        )
    return shares


def _of_labels(names: Sequence[str], calibration: LabelwiseCalibration, prior: Prior) -> np.ndarray:
    if not isinstance(prior, Mapping):
        raise UserError(f"--prior {prior:g}: give name=share for labels of {', '.join(names)}")
    _refuse_unknown(prior, names)
    for name, own in zip(names, calibration.labels, strict=True):
        if name in prior and own is None:
            raise UserError(f"--prior {name}={prior[name]:g}: that label was not calibrated")
    return np.array([_share(prior, name) for name in names])


def _share(prior: Mapping[str, float], name: str) -> float:
    if name not in prior:
        return np.nan
    share = prior[name]
    if not 0 < share < 1:
        raise UserError(f"--prior {name}={share:g}: a share lies between 0 and 1")
    return share


def _refuse_unknown(prior: Mapping[str, float], names: Sequence[str]) -> None:
    if unknown := [name for name in prior if name not in names]:
        raise UserError(f"--prior: there is no {unknown[0]!r} among {', '.join(names[:10])}")


def shifted(run: "Run", calibrated: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Shift calibrated probabilities [n, outputs] to other shares, those of `new_shares`.

    Raises:
        UserError: the calibration rows lacked a class.
    """
    fitted = np.array(run.calibration_shares)
    if not isinstance(run.calibration, LabelwiseCalibration):
        return at_prior(calibrated, fitted, shares)
    result = calibrated.copy()
    for label in np.flatnonzero(~np.isnan(shares)):
        result[:, label] = at_prior(calibrated[:, label], fitted[label], shares[label])
    return result
