"""Runs in a pod: asks a model until it answers, by HTTP (tritonclient's wire format by hand) or gRPC (tritonclient).

ask.py http|grpc HOST MODEL SECONDS
"""

import http.client
import json
import sys
import time


def by_http(host: str, model: str) -> str:
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.5] * 64}
    connection = http.client.HTTPConnection(host, 8000, timeout=60)
    connection.request("POST", f"/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}))
    response = connection.getresponse()
    text = response.read().decode()
    if response.status != http.HTTPStatus.OK:
        raise OSError(f"{response.status} {text}")
    return str(json.loads(text)["outputs"][0]["data"])


def by_grpc(host: str, model: str) -> str:
    import numpy as np  # noqa: PLC0415 - the pod has it, and the HTTP way needs neither
    import tritonclient.grpc as triton  # noqa: PLC0415

    client = triton.InferenceServerClient(f"{host}:8001")
    image = triton.InferInput("image", [1, 64], "FP32")
    image.set_data_from_numpy(np.full((1, 64), 0.5, dtype=np.float32))
    answer = client.infer(model, [image], client_timeout=60)
    return str(answer and answer.as_numpy("digit"))


def main() -> None:
    way, host, model, seconds = sys.argv[1:]
    began = time.monotonic()
    while True:
        try:
            answer = by_http(host, model) if way == "http" else by_grpc(host, model)
        except Exception as error:
            if time.monotonic() - began > float(seconds):
                sys.exit(f"no answer: {error}")
            time.sleep(0.2)
        else:
            sys.stdout.write(f"{answer} after {time.monotonic() - began:.1f} s\n")
            return


if __name__ == "__main__":
    main()
