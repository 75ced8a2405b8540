"""Triton's protobuf messages, as tritonclient ships them. Generated modules carry no types, so neither do these."""

from typing import Any

from tritonclient.grpc import model_config_pb2, service_pb2

service: Any = service_pb2
config: Any = model_config_pb2
