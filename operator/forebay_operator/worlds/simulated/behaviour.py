"""What is true of a model, which the control step only learns by trying."""

from dataclasses import dataclass

from forebay_operator.domain.snapshot import ConversionFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelBehaviour:
    """How what lies at one source URI converts, loads and computes."""

    convert_s: float = 5.0
    refusal: ConversionFailure | None = None
    """Every conversion ends with it. None: it converts."""
    estimate_bytes: int = 1 << 30
    """What the conversion estimates of a replica's footprint."""
    footprint_bytes: int = 1 << 30
    """What a replica really takes."""
    load_s: float = 3.0
    base_s: float = 0.02
    per_item_s: float = 0.01
    """A batch of n takes `base_s + n * per_item_s` on one instance."""

    def batch_s(self, items: int) -> float:
        return self.base_s + items * self.per_item_s
