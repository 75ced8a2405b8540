"""The metrics of a server that the controller reads each second: Triton's, and ours where Triton's cannot say it.

All have the labels `model` and `version`, except those of the device.
"""

from typing import Final

PENDING: Final = "nv_inference_pending_request_count"
REQUEST_SUCCESS: Final = "nv_inference_request_success"
REQUEST_FAILURE: Final = "nv_inference_request_failure"
INFERENCE_COUNT: Final = "nv_inference_count"
EXECUTION_COUNT: Final = "nv_inference_exec_count"

BUSY_SECONDS: Final = "forebay_model_busy_seconds_total"
"""Time in execution, once per batch, summed over the instances of the version."""

EXECUTING: Final = "forebay_model_executing"
"""Requests in execution now."""

MODEL_MEMORY: Final = "forebay_model_memory_bytes"
"""Footprint of a loaded version on the device, as measured at load."""

REFUSED_MEMORY: Final = "forebay_model_refused_memory_bytes"
"""Device memory that a version was found to take whose load was refused for that, until it is loaded or unloaded."""

MODEL_INSTANCES: Final = "forebay_model_instances"

MODEL_INFO: Final = "forebay_model_info"
"""Always 1; labels `digest` (of the artifact) and `provider` (really used) as well."""

DEVICE_MEMORY: Final = "forebay_device_memory_total_bytes"
"""Device memory that models may take; labels `kind` (cpu, gpu, simulated) and `name`."""

REFUSED_CALLS: Final = "forebay_grpc_refused_calls_total"
"""gRPC calls that were refused because as many as the server takes at once were under way; no labels."""

SERVER_DRAINING: Final = "forebay_server_draining"
"""1 from SIGTERM on: no new replicas here."""
