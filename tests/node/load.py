"""Runs in a pod: asks a model for predictions, by many threads, until a file appears; then writes what became of the requests.

load.py HOST PORT MODEL THREADS RESULT STOP
"""

import http.client
import json
import pathlib
import sys
import threading
import time

_BODY = json.dumps({"inputs": [{"name": "image", "datatype": "FP32", "shape": [1, 64], "data": [0.5] * 64}]})
_SLOW_S = 5.0


def main() -> None:
    host, port, model, threads, result, stop = sys.argv[1:]
    answered, connected, slow, wrong, cut = [], [], [], [], []
    lock = threading.Lock()
    began = time.monotonic()

    def ask() -> None:
        connection = None
        while not pathlib.Path(stop).exists():
            sent = time.monotonic()
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(host, int(port), timeout=90)
                    connection.connect()
                    connected.append(time.monotonic() - sent)
                connection.request("POST", f"/v2/models/{model}/infer", _BODY, {"Content-Type": "application/json"})
                response = connection.getresponse()
                text = response.read().decode()
            except (OSError, http.client.HTTPException) as error:
                connection = None
                with lock:
                    cut.append([round(sent - began, 2), f"{type(error).__name__}: {error}"])
                time.sleep(0.1)
                continue
            with lock:
                if response.status == http.HTTPStatus.OK:
                    answered.append(time.monotonic() - sent)
                    slow.extend([[round(sent - began, 1), round(answered[-1], 1)]] if answered[-1] > _SLOW_S else [])
                else:
                    wrong.append([round(sent - began, 2), f"{response.status} {text[:300]}"])

    asking = [threading.Thread(target=ask) for _ in range(int(threads))]
    for each in asking:
        each.start()
    for each in asking:
        each.join()
    answered.sort()
    said = {
        "seconds": time.monotonic() - began,
        "answered": len(answered),
        "slow": slow,
        "wrong": wrong,
        "cut": cut,
        "median_s": answered[len(answered) // 2] if answered else 0.0,
        "p99_s": answered[len(answered) * 99 // 100] if answered else 0.0,
        "slowest_s": answered[-1] if answered else 0.0,
        "slowest_connect_s": max(connected, default=0.0),
    }
    fresh = pathlib.Path(f"{result}.new")
    fresh.write_text(json.dumps(said))
    fresh.rename(result)


if __name__ == "__main__":
    main()
