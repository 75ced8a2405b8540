"""How a revision is served: the part of Triton's model configuration that a ModelDeployment sets."""

from typing import Any

from forebay_schema.documents import Part


class ServingConfig(Part):
    """Serving settings of one revision. Zero means what it means in Triton: no delay, no limit."""

    max_batch_size: int = 32
    """0: the model takes no batches."""
    preferred_batch_sizes: tuple[int, ...] = ()
    max_queue_delay_us: int = 0
    max_queue_size: int = 0
    queue_timeout_us: int = 0
    instances: int = 0
    """0: the server chooses."""
    provider: str = "auto"
    """cpu, cuda or auto (what the device is)."""

    def to_triton_config(self, name: str) -> dict[str, Any]:
        """The `config` parameter of Triton's load call."""
        config: dict[str, Any] = {"name": name, "backend": "onnxruntime", "max_batch_size": self.max_batch_size}
        if self.max_batch_size > 0:
            config["dynamic_batching"] = self._dynamic_batching()
        if self.instances:
            config["instance_group"] = [{"count": self.instances}]
        if self.provider != "auto":
            config["parameters"] = {"forebay_provider": {"string_value": self.provider}}
        return config

    def _dynamic_batching(self) -> dict[str, Any]:
        policy: dict[str, Any] = {}
        if self.max_queue_size:
            policy["max_queue_size"] = self.max_queue_size
        if self.queue_timeout_us:
            policy |= {"timeout_action": "REJECT", "default_timeout_microseconds": self.queue_timeout_us}
        batching: dict[str, Any] = {"max_queue_delay_microseconds": self.max_queue_delay_us}
        if self.preferred_batch_sizes:
            batching["preferred_batch_size"] = list(self.preferred_batch_sizes)
        if policy:
            batching["default_queue_policy"] = policy
        return batching
