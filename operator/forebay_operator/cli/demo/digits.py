"""The demo's model: scikit-learn's handwritten digits, a classifier trained on one half of them, a ModelDeployment."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

MANIFEST = """\
# Written by `forebay demo`. Edit it while `forebay up` runs and watch what happens.
apiVersion: forebay.dev/v1alpha1
kind: ModelDeployment
metadata:
  name: digits
spec:
  model:
    source:
      uri: digits.joblib
      sha256: {sha256}
    format: sklearn
  verification:
    samples: {{uri: samples.npz}}
    minAccuracy: 0.9
  serving:
    maxBatchSize: {max_batch_size}
  placement:
    device: gpu
  autoscaling:
    minReplicas: 0
    maxReplicas: {max_replicas}
    targetQueueDepth: 4
    scaleDownDelay: 3s
    idleTimeout: 5s
"""


@dataclass(frozen=True, slots=True)
class Digits:
    """What the demo serves and what it asks: images (n, 64) that the classifier has never seen, and their labels (n,)."""

    images: Images
    labels: Labels
    source_answers: Labels
    """What the classifier itself says of them, before any conversion."""
    manifest: Path


def prepare(folder: Path, max_batch_size: int, max_replicas: int) -> Digits:
    """Train the classifier on one half of the images; write it, samples to verify it with, and the ModelDeployment."""
    # Imported here: scikit-learn takes a second, which no other command should pay.
    import joblib  # noqa: PLC0415
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415
    from sklearn.preprocessing import MinMaxScaler  # noqa: PLC0415

    data, target = load_digits(return_X_y=True)
    images, labels = data.astype(np.float32), target.astype(np.int64)
    network = MLPClassifier((128,), max_iter=60, tol=1e-3, learning_rate_init=0.005, random_state=0)
    classifier = make_pipeline(MinMaxScaler(), network)
    classifier.fit(images[::2], labels[::2])
    unseen, unseen_labels = images[1::2], labels[1::2]

    folder.mkdir(parents=True, exist_ok=True)
    joblib.dump(classifier, folder / "digits.joblib")
    np.savez(folder / "samples.npz", input=unseen[:256], labels=unseen_labels[:256])
    manifest = folder / "digits.yaml"
    digest = hashlib.sha256((folder / "digits.joblib").read_bytes()).hexdigest()
    manifest.write_text(MANIFEST.format(sha256=digest, max_batch_size=max_batch_size, max_replicas=max_replicas))
    return Digits(unseen, unseen_labels, classifier.predict(unseen).astype(np.int64), manifest)
