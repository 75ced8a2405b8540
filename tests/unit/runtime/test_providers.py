import pytest

from forebay_runtime.engine.onnx_session import SessionError, check_provider, provider_used

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def test_a_model_that_leaves_some_work_to_the_cpu_says_so() -> None:
    assert provider_used({CUDA: ["MatMul", "Add"], CPU: ["Shape"]}, CUDA) == "cuda+cpu"


def test_a_model_with_nothing_on_the_gpu_is_refused_with_its_operators() -> None:
    with pytest.raises(SessionError, match=r"runs none of this model's operators \(Scaler, TreeEnsembleClassifier\)"):
        provider_used({CPU: ["TreeEnsembleClassifier", "Scaler"]}, CUDA)


def test_a_provider_that_is_not_installed_is_refused_with_the_remedy() -> None:
    check_provider("cpu")
    with pytest.raises(SessionError, match=r"install forebay\[runtime-gpu\]"):
        check_provider("cuda")
