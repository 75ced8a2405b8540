import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert_onnx import a_network
from forebay_convert.samples import Samples
from forebay_convert.source.normal_form import normalise
from forebay_convert.verification.memory import ACTIVATION_FACTOR, batch_sizes, estimate, own_memory, static_bytes


@given(st.integers(1, 5000))
def test_batch_sizes_rise_from_one_to_the_largest(largest: int) -> None:
    sizes = batch_sizes(largest)

    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, largest)
    assert len(sizes) < 15


def test_the_static_estimate_counts_weights_once_and_activations_with_their_factor() -> None:
    model = normalise(a_network())

    for size in (1, 10):
        assert static_bytes(model, size) == (4 * 3 + 3) * 4 + ACTIVATION_FACTOR * size * (4 + 3 + 3 + 3) * 4


@pytest.mark.parametrize("budget_s", [60.0, 0.0])
def test_estimates_rise_with_the_batch_also_where_they_are_extrapolated(budget_s: float) -> None:
    model = normalise(a_network(features=100_000))
    samples = Samples({"x": np.zeros((2, 100_000), dtype=np.float32)}, batched=True)

    estimates, session = estimate(model.SerializeToString(), model, samples, [1, 8, 64], budget_s)

    assert [size for size, _ in estimates] == [1, 8, 64]
    counts = [count for _, count in estimates]
    assert counts == sorted(counts)
    assert counts[-1] > 64 * 100_000 * 4
    assert all(count % (1 << 20) == 0 for count in counts)
    assert session.outputs == ["y"]


def test_this_process_has_memory() -> None:
    assert own_memory() > 1 << 20
