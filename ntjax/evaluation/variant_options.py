"""How variants are scored: windows, phases, strands and shams."""

from dataclasses import dataclass

from ntjax.checkpoints import mini
from ntjax.errors import UserError
from ntjax.genomes.alleles import N_MARGIN
from ntjax.inference.pretrained import PretrainedModel

SHAMS = 20
"""Shams of an indel, unless another number is asked for."""

_MINI_WINDOW, _LEARNED_WINDOW, _ROTARY_WINDOW = 768, 6_000, 12_000
_LEAST_KMERS = 8


@dataclass(frozen=True)
class EffectOptions:
    """How variants are scored.

    Attributes:
        window: bases of a window, a multiple of k.
        phases: 1 for the first phase alone, or k for all.
        both_strands: whether the reverse complements are scored too, and averaged in.
        shams: of an indel; 0 for none.
    """

    window: int
    phases: int
    both_strands: bool = True
    shams: int = SHAMS

    def check(self, model: PretrainedModel) -> None:
        """Refuse what a model cannot read.

        Raises:
            UserError: says what it can.
        """
        k, longest = model.config.k_for_kmers, model.config.max_positions
        if k > N_MARGIN:  # else an N could leave single bases at a site
            raise UserError(f"{model.name} reads {k}-mers; variants need {N_MARGIN}-mers at most")
        whole = self.window // k * k
        if self.window != whole:
            raise UserError(
                f"window {self.window}: should be a multiple of {k}, so that {k}-mers fill it: "
                f"{whole} or {whole + k}",
                field="window",
            )
        if not _LEAST_KMERS * k <= self.window <= (longest - 1) * k:
            raise UserError(
                f"window {self.window}: {model.name} reads windows of {_LEAST_KMERS * k} to "
                f"{(longest - 1) * k:,} bp",
                field="window",
            )
        if self.phases not in (1, k):
            raise UserError(
                f"phases {self.phases}: {model.name} reads {k}-mers: give {k} for all phases, or 1",
                field="phases",
            )
        if self.shams == 1 or self.shams < 0:
            raise UserError(f"shams {self.shams}: give 0, or 2 or more", field="shams")


def default_window(model: PretrainedModel) -> int:
    """Return the length of the sequences a model was trained on, in bp.

    768 for `mini` and `mini_human`; 6,000 for models with learned positions (version 1) and 12,000
    for those with rotary positions (version 2), or as much as the model has positions for, `<cls>`
    included.
    """
    config = model.config
    usual = _ROTARY_WINDOW if config.use_rotary_embedding else _LEARNED_WINDOW
    usual = _MINI_WINDOW if model.name in mini.NAMES else usual
    k = config.k_for_kmers
    return min(usual // k * k, (config.max_positions - 1) * k)
