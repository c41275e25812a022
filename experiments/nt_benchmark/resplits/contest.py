"""Arms on the re-split tasks: what each reads, and what it scored.

Each arm chooses among its configurations by the AUROC of validation rows; test rows are scored
once, by the chosen one. What an arm scored is kept in `scores/`, so that a run goes on from there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.nt_benchmark.models import MODELS
from experiments.nt_benchmark.resplits.rows import Resplit
from experiments.promoters.data.rows import labels_of
from experiments.promoters.passes.arms import score_path
from ntjax import PretrainedModel, fine_tune
from ntjax.adapters import ADAPTERS
from ntjax.baselines.cnn import CNNConfig, fit_cnn
from ntjax.baselines.gradient_boosting import fit_gradient_boosting, sequence_features
from ntjax.errors import UserError
from ntjax.inference.embeddings import embed_poolings
from ntjax.io.json import read_json, write_json
from ntjax.sequences.one_hot import one_hot

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)
STEPS, BATCH = 300, 32
_MOST_TOKENS = 64
_DIGITS = 5


@dataclass(frozen=True)
class Candidate:
    """A configuration that was fitted.

    Attributes:
        name: of the configuration.
        validation: probabilities of validation rows.
        test: makes those of test rows; called for the chosen one alone.
    """

    name: str
    validation: np.ndarray
    test: Callable[[], np.ndarray]


Candidates = Callable[[Resplit, int], Iterator[Candidate]]
"""Of rows and a seed: fits configurations, one after the other."""


@dataclass(frozen=True)
class Arm:
    """One side of the contest.

    Attributes:
        candidates: fits its configurations.
        seeds: whose results differ; 1 for an arm without chance.
        only: names of tasks begin with it; "" for all.
    """

    candidates: Candidates
    seeds: int = 1
    only: str = ""


def _logistic(
    rows: Resplit, features: dict[str, Callable[[tuple[str, ...]], np.ndarray]]
) -> Iterator[Candidate]:
    """Logistic regression on each of several features, with each penalty."""
    for name, of in features.items():
        train, validation = of(rows.train.sequences), of(rows.validation.sequences)
        for penalty in PENALTIES:
            model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, max_iter=2_000))
            model.fit(train, labels_of(rows.train))

            def test(model: Any = model, of: Any = of) -> np.ndarray:
                return model.predict_proba(of(rows.test.sequences))[:, 1]

            yield Candidate(f"{name}, C {penalty:g}", model.predict_proba(validation)[:, 1], test)


def _sequences(rows: Resplit, seed: int) -> Iterator[Candidate]:
    length = max(map(len, rows.train.sequences))
    yield from _logistic(rows, {"bases and 3-mers": lambda texts: sequence_features(texts, length)})


def _boosting(rows: Resplit, seed: int) -> Iterator[Candidate]:
    train, validation = (
        (table.sequences, labels_of(table)) for table in (rows.train, rows.validation)
    )
    model = fit_gradient_boosting(*train, validation=validation, seed=seed)
    yield Candidate(
        "rounds by validation",
        model.probabilities(rows.validation.sequences)[:, 1],
        lambda: model.probabilities(rows.test.sequences)[:, 1],
    )


def _cnn(rows: Resplit, seed: int) -> Iterator[Candidate]:
    train, validation = (
        (table.sequences, labels_of(table)) for table in (rows.train, rows.validation)
    )
    for rate in (1e-3, 3e-3):
        config = CNNConfig(learning_rate=rate)
        model = fit_cnn(*train, validation=validation, seed=seed, config=config, progress=False)
        yield Candidate(
            f"rate {rate:g}, best epoch by validation",
            model.probabilities(rows.validation.sequences)[:, 1],
            lambda model=model: model.probabilities(rows.test.sequences)[:, 1],
        )


def _matrix(rows: Resplit, seed: int) -> Iterator[Candidate]:
    """Log-odds of a first-order position-weight matrix (weight array, Zhang & Marr 1993)."""
    texts, labels = np.array(rows.train.sequences), labels_of(rows.train)
    sites, decoys = (_steps(texts[labels == label].tolist()) for label in (1, 0))
    middle = len(texts[0]) // 2
    for reach in (10, 20, 60):
        used = slice(max(0, middle - reach - 1), middle + reach - 1)

        def score(texts: tuple[str, ...], used: slice = used) -> np.ndarray:
            pairs = _pairs(texts)[:, used]
            places = np.arange(pairs.shape[1])
            return expit((sites[used][places, pairs] - decoys[used][places, pairs]).sum(axis=1))

        yield Candidate(
            f"{reach} bases on both sides",
            score(rows.validation.sequences),
            lambda score=score: score(rows.test.sequences),
        )


def _pairs(texts: Any) -> np.ndarray:
    codes = one_hot(texts, len(texts[0])).argmax(axis=-1)
    return 4 * codes[:, :-1] + codes[:, 1:]


def _steps(texts: list[str]) -> np.ndarray:
    """Log p of a base given the one before it, by place: float64 [places, 16]."""
    pairs = _pairs(texts)
    counts = np.stack([np.bincount(column, minlength=16) for column in pairs.T]) + 0.5
    given = counts.reshape(-1, 4, 4)
    return np.log(given / given.sum(axis=2, keepdims=True)).reshape(-1, 16)


def _junctions(rows: Resplit, seed: int) -> Iterator[Candidate]:
    """Only the pairs of bases where published negatives were put together: every 15 bases."""
    length = len(rows.train.sequences[0])
    borders = np.arange(15, length, 15) - 1

    def features(texts: tuple[str, ...]) -> np.ndarray:
        return np.eye(16, dtype=np.float32)[_pairs(texts)[:, borders]].reshape(len(texts), -1)

    yield from _logistic(rows, {"pairs at junctions": features})


def _frozen(name: str) -> Candidates:
    """The head alone on a frozen network: each layer, mean, or tokens side by side if they fit."""

    def candidates(rows: Resplit, seed: int) -> Iterator[Candidate]:
        model = MODELS[name]()
        layers = range(model.config.num_layers + 1)
        tables = {"train": rows.train, "validation": rows.validation, "test": rows.test}
        short = len(rows.train.sequences[0]) // model.config.k_for_kmers < _MOST_TOKENS
        made = {part: _embedded(model, t.sequences, layers, short) for part, t in tables.items()}
        for key in made["train"]:
            for penalty in PENALTIES:
                fit = make_pipeline(
                    StandardScaler(), LogisticRegression(C=penalty, max_iter=300, tol=1e-3)
                ).fit(made["train"][key], labels_of(rows.train))
                yield Candidate(
                    f"{key}, C {penalty:g}",
                    fit.predict_proba(made["validation"][key])[:, 1],
                    lambda fit=fit, key=key: fit.predict_proba(made["test"][key])[:, 1],
                )

    return candidates


def _embedded(
    model: PretrainedModel, texts: tuple[str, ...], layers: range, short: bool
) -> dict[str, np.ndarray]:
    """Means of all layers; of the last one the tokens side by side too where they fit."""
    found = {
        f"layer {layer}, mean": values
        for (layer, _), values in embed_poolings(model, texts, layers, ("mean",)).items()
    }
    if short:
        last = layers[-1]
        tokens = embed_poolings(model, texts, (last,), (None,))[last, None]
        found[f"layer {last}, tokens side by side"] = np.stack([own.reshape(-1) for own in tokens])
    return found


def _adapted(name: str, adapter: str) -> Candidates:
    """Fine-tune a network with an adapter, at its rate for small models and at a third of it."""

    def candidates(rows: Resplit, seed: int) -> Iterator[Candidate]:
        model, rate = MODELS[name](), ADAPTERS[adapter].learning_rate_for_mini
        for share in (1.0, 1 / 3):
            run = fine_tune(
                model,
                rows.train,
                rows.validation,
                rows.validation,
                adapter=adapter,
                head="auto",
                steps=STEPS,
                batch_size=BATCH,
                evaluate_every=STEPS // 6,
                select="auroc",
                learning_rate=share * rate,
                seed=seed,
                calibration_fraction=0,
                progress=False,
            )
            yield Candidate(
                f"rate {share * rate:.2g}",
                run.predict(list(rows.validation.sequences))[:, 1],
                lambda run=run: run.predict(list(rows.test.sequences))[:, 1],
            )

    return candidates


ARMS: dict[str, Arm] = {
    "bases and 3-mers, logistic": Arm(_sequences),
    "gradient boosting": Arm(_boosting),
    "CNN": Arm(_cnn, seeds=3),
    "position-weight matrix, order 1": Arm(_matrix, only="splice"),
    "junctions alone": Arm(_junctions, only="TATA"),
    "mini, head alone": Arm(_frozen("mini")),
    "mini_human, head alone": Arm(_frozen("mini_human")),
    "untrained, head alone": Arm(_frozen("untrained")),
    "mini, IA³": Arm(_adapted("mini", "ia3"), seeds=3),
    "mini, LoRA": Arm(_adapted("mini", "lora"), seeds=3),
    "mini_human, IA³": Arm(_adapted("mini_human", "ia3"), seeds=3),
    "mini_human, LoRA": Arm(_adapted("mini_human", "lora"), seeds=3),
}
"""Every arm by name."""


def scored(rows: Resplit, arm: str, seed: int, scores: Path) -> dict[str, Any]:
    """Fit an arm and score the test rows with its chosen configuration; what is there is read.

    Raises:
        UserError: what is there was made of other rows.
    """
    path = score_path(scores, rows.name, arm, seed)
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"rows": rows.digest, **_chosen(rows, ARMS[arm], seed)})
    saved = read_json(path)
    if saved["rows"] != rows.digest:
        raise UserError(f"{path}: made of other rows: remove the file to fit this arm again")
    return saved


def _chosen(rows: Resplit, arm: Arm, seed: int) -> dict[str, Any]:
    truth, best, found, tried = labels_of(rows.validation), None, -1.0, 0
    for candidate in arm.candidates(rows, seed):
        tried += 1
        value = float(roc_auc_score(truth, candidate.validation))
        if value > found:
            best, found = candidate, value
    assert best is not None
    return {
        "chosen": best.name,
        "configurations": tried,
        "validation": found,
        "test": np.round(best.test().astype(float), _DIGITS).tolist(),
    }
