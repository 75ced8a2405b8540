"""HTTP requests answered: the v2 protocol with Triton's extensions."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar

from forebay_runtime.protocol import compression, http_answers, infer_json
from forebay_runtime.protocol.errors import (
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    RequestError,
    RestrictedError,
    UnavailableError,
    UnsupportedError,
)
from forebay_runtime.protocol.http_answers import BINARY, JSON, TEXT, HttpAnswer, error_answer, json_answer
from forebay_runtime.protocol.inference import Array, InferPlan, answers_many_texts, tail_parts, tensors
from forebay_runtime.protocol.signature import longest_json
from forebay_runtime.server.http_connection import Exchange
from forebay_runtime.server.http_routes import Handler, match
from forebay_runtime.server.large_requests import LARGE, LargeRequests
from forebay_runtime.server.repository_token import RepositoryToken
from forebay_runtime.server.work_threads import WorkThreads
from forebay_runtime.service import descriptions, repository_orders
from forebay_runtime.service.data_plane import DIRECT, DataPlane, GatewayHeaders, version_of
from forebay_runtime.service.loaded_version import LoadedVersion
from forebay_runtime.service.repository_control import RepositoryControl
from forebay_schema import headers
from forebay_schema.logs import Logger

_log = Logger(__name__)
_HEADER_LENGTH: Final = "inference-header-content-length"
_HEADER_LENGTH_NAME: Final = "Inference-Header-Content-Length"
_MOST_DIGITS: Final = 20
_WRITTEN_AT_ONCE: Final = 1 << 17
"""Elements of a tensor that are written as JSON faster than it is worth a thread."""
_RECODERS: Final = 2
_RECODED_AT_ONCE: Final = 16 << 10
"""Bytes that are packed faster than they are handed to a thread."""

P = ParamSpec("P")
T = TypeVar("T")

_EMPTY: Final = HttpAnswer(content_type=TEXT)
_NOT_FOUND: Final = HttpAnswer(404, (http_answers.error_body("Not Found"),), TEXT)
_NOT_ALLOWED: Final = HttpAnswer(405, (http_answers.error_body("Method Not Allowed"),), TEXT)


class Understood(NamedTuple):
    """A request, for the version that it was understood for."""

    loaded: LoadedVersion
    plan: InferPlan
    parts: Sequence[memoryview]


class HttpApi:
    """Answers exchanges; used from the event loop only."""

    def __init__(
        self,
        data_plane: DataPlane,
        control: RepositoryControl,
        large: LargeRequests,
        *,
        token: RepositoryToken,
        max_body_bytes: int,
    ) -> None:
        self._data_plane = data_plane
        self._control = control
        self._large = large
        self._token = token
        self._tasks: set[asyncio.Task[None]] = set()
        self._recoders = WorkThreads(_RECODERS, "recode")
        self._recoding = 0
        self.max_body_bytes = max_body_bytes
        self._handlers: dict[str, Handler] = {
            "infer": self._infer,
            "server_metadata": lambda _exchange, _values: json_answer(descriptions.server_metadata()),
            "health_live": self._health_live,
            "health_ready": self._health_ready,
            "all_statistics": self._all_statistics,
            "model_ready": self._model_ready,
            "model_config": self._model_config,
            "model_statistics": self._model_statistics,
            "model_metadata": self._model_metadata,
            "repository_index": self._repository_index,
            "repository_load": self._repository_load,
            "repository_unload": self._repository_unload,
        }

    @property
    def closing(self) -> bool:
        return self._data_plane.draining

    @property
    def recoding(self) -> bool:
        """Whether a body is being packed or unpacked."""
        return self._recoding > 0

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, now or later."""
        found = match(exchange.head.path)
        if found is None:
            exchange.answer(_NOT_FOUND)
            return
        try:
            if found.route.restricted:
                self._check_token(exchange)
            if found.route.method not in (exchange.head.method, "ANY"):
                exchange.answer(_NOT_ALLOWED)
                return
            handler = self._handlers.get(found.route.name, _unsupported)
            answer = handler(exchange, found.values)
        except RequestError as error:
            exchange.answer(error_answer(error, _content_type(error)))
        except Exception:
            self._failed(exchange)
        else:
            self._send(exchange, answer)

    def _send(self, exchange: Exchange, answer: HttpAnswer | Coroutine[Any, Any, HttpAnswer | None] | None) -> None:
        if isinstance(answer, HttpAnswer):
            exchange.answer(answer)
        elif answer is not None:
            self._begin(exchange, answer)

    def _begin(self, exchange: Exchange, answer: Coroutine[Any, Any, HttpAnswer | None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(self._answer_later(exchange, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        # It may never have begun.
        task.add_done_callback(lambda _: answer.close())
        return task

    def _infer_later(self, exchange: Exchange, answer: Coroutine[Any, Any, HttpAnswer | None]) -> None:
        """Go on with an inference later, or never where its client goes away: it must not keep what it brought."""
        exchange.on_gone = self._begin(exchange, answer).cancel

    async def _answer_later(self, exchange: Exchange, answer: Coroutine[Any, Any, HttpAnswer | None]) -> None:
        try:
            known = await answer
            if known is not None:
                exchange.answer(known)
        except RequestError as error:
            exchange.answer(error_answer(error, _content_type(error)))
        except Exception:
            self._failed(exchange)

    def _failed(self, exchange: Exchange) -> None:
        _log.exception("request failed", path=exchange.head.path)
        exchange.answer(error_answer(InternalError("internal error, see the server's log")))

    def _check_token(self, exchange: Exchange) -> None:
        given = exchange.head.headers.get(headers.REPOSITORY_TOKEN, "")
        if not self._token.opens(given):
            raise RestrictedError(f"This API is restricted, expecting header '{headers.REPOSITORY_TOKEN}'")

    def _check_stays(self) -> None:
        if self._data_plane.draining:
            raise UnavailableError("Server exiting")

    # Inference.

    def _infer(self, exchange: Exchange, values: Mapping[str, str]) -> None:
        coding = exchange.head.headers.get("content-encoding")
        if coding is not None:
            self._infer_later(exchange, self._infer_compressed(exchange, values, coding))
        else:
            self._infer_plain(exchange, values, exchange.body)

    async def _infer_compressed(self, exchange: Exchange, values: Mapping[str, str], coding: str) -> None:
        self._find(exchange, values)
        body = await self._recoded(compression.decompress, exchange.body, coding, self.max_body_bytes)
        self._infer_plain(exchange, values, body)

    def _infer_plain(self, exchange: Exchange, values: Mapping[str, str], body: memoryview) -> None:
        loaded = self._find(exchange, values)
        length = _description_length(exchange, len(body))
        if length > LARGE:
            _check_length(loaded, length)
            self._infer_later(exchange, self._infer_large(exchange, values, body, length))
            return
        plan, parts = _understand(loaded, length, body)
        if plan.has_many_texts:
            self._infer_later(exchange, self._infer_texts(exchange, values, body, Understood(loaded, plan, parts)))
        else:
            self._execute(exchange, loaded, plan, tensors(plan, parts))

    async def _infer_large(self, exchange: Exchange, values: Mapping[str, str], body: memoryview, length: int) -> None:
        self._recoding += 1
        try:
            loaded, plan = await self._planned(exchange, values, body[:length])
        finally:
            self._recoding -= 1
        parts = tail_parts(plan, body[length:], loaded.key.model)
        if plan.has_many_texts:
            await self._infer_texts(exchange, values, body, Understood(loaded, plan, parts))
        else:
            self._execute(exchange, loaded, plan, tensors(plan, parts))

    async def _infer_texts(
        self, exchange: Exchange, values: Mapping[str, str], body: memoryview, understood: Understood
    ) -> None:
        loaded, plan, parts = understood
        arrays = await self._recoded(tensors, plan, parts)
        if self._find(exchange, values) is loaded:
            self._execute(exchange, loaded, plan, arrays)
        else:
            # It was replaced meanwhile: the plan may not fit.
            self._infer_plain(exchange, values, body)

    async def _planned(
        self, exchange: Exchange, values: Mapping[str, str], description: memoryview
    ) -> tuple[LoadedVersion, InferPlan]:
        """A plan and the version that it was made for, which serves the model now."""
        loaded = self._find(exchange, values)
        while True:
            plan: InferPlan = await self._large.read("http", description, loaded.signature)
            made_for, loaded = loaded, self._find(exchange, values)
            # Where it was replaced meanwhile, the plan may not fit, and would fail the others of its batch.
            if loaded is made_for:
                return loaded, plan

    def _execute(self, exchange: Exchange, loaded: LoadedVersion, plan: InferPlan, arrays: Mapping[str, Array]) -> None:
        def reply(outcome: Mapping[str, Array] | RequestError) -> None:
            if _takes_long(plan, outcome):
                self._infer_later(exchange, self._recoded(self._answer_at_once, exchange, loaded, plan, outcome))
                return
            answer = _infer_answer(loaded, plan, outcome)
            coding = _coding(exchange, answer)
            if coding is None:
                exchange.answer(answer)
            elif answer.size <= _RECODED_AT_ONCE:
                exchange.answer(_compressed(answer, coding))
            else:
                self._infer_later(exchange, self._recoded(_compressed, answer, coding))

        call = self._data_plane.submit(loaded, plan, arrays, _gateway(exchange), reply)
        exchange.on_gone = lambda: loaded.batcher.cancel(call)

    def _answer_at_once(
        self, exchange: Exchange, loaded: LoadedVersion, plan: InferPlan, outcome: Mapping[str, Array] | RequestError
    ) -> HttpAnswer:
        answer = _infer_answer(loaded, plan, outcome)
        coding = _coding(exchange, answer)
        return _compressed(answer, coding) if coding else answer

    async def _recoded(self, recode: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a thread: what packs and unpacks megabytes must not keep others waiting."""
        self._recoding += 1
        try:
            return await self._recoders.run(recode, *args, **kwargs)
        finally:
            self._recoding -= 1

    # Health and descriptions.

    def _health_live(self, _exchange: Exchange, _values: Mapping[str, str]) -> HttpAnswer:
        self._check_stays()
        return _EMPTY

    def _health_ready(self, _exchange: Exchange, _values: Mapping[str, str]) -> HttpAnswer:
        self._check_stays()
        return _EMPTY if self._data_plane.server_ready() else HttpAnswer(400, content_type=TEXT)

    def _model_ready(self, exchange: Exchange, values: Mapping[str, str]) -> HttpAnswer:
        version = version_of(values.get("version", ""))
        if self._data_plane.model_ready(values["model"], version, _gateway(exchange)):
            return _EMPTY
        return HttpAnswer(400, (http_answers.error_body("Model version not ready"),), TEXT)

    def _model_metadata(self, exchange: Exchange, values: Mapping[str, str]) -> HttpAnswer:
        loaded = self._find(exchange, values)
        versions = self._data_plane.store.ready_versions(loaded.key.model)
        return json_answer(descriptions.model_metadata(loaded, versions))

    def _model_config(self, exchange: Exchange, values: Mapping[str, str]) -> HttpAnswer:
        return json_answer(descriptions.model_config(self._find(exchange, values)))

    def _model_statistics(self, _exchange: Exchange, values: Mapping[str, str]) -> HttpAnswer:
        version = version_of(values.get("version", ""))
        return json_answer(descriptions.statistics(self._data_plane.store, values["model"], version))

    def _all_statistics(self, _exchange: Exchange, _values: Mapping[str, str]) -> HttpAnswer:
        return json_answer(descriptions.statistics(self._data_plane.store, "", None))

    def _find(self, exchange: Exchange, values: Mapping[str, str]) -> LoadedVersion:
        return self._data_plane.find(values["model"], version_of(values.get("version", "")), _gateway(exchange))

    # Repository control.

    async def _repository_index(self, exchange: Exchange, _values: Mapping[str, str]) -> HttpAnswer:
        ready_only = infer_json.parse_object(bytes(exchange.body)).get("ready") is True if exchange.body else False
        return json_answer(descriptions.index(await self._control.index(), ready_only=ready_only))

    async def _repository_load(self, exchange: Exchange, values: Mapping[str, str]) -> HttpAnswer:
        await repository_orders.load(self._control, values["model"], _order_parameters(exchange))
        return HttpAnswer()

    async def _repository_unload(self, exchange: Exchange, values: Mapping[str, str]) -> HttpAnswer:
        try:
            parameters = _order_parameters(exchange)
        except InternalError:
            # Triton unloads whatever the body says.
            parameters = {}
        await repository_orders.unload(self._control, values["model"], parameters)
        return HttpAnswer()


def _understand(loaded: LoadedVersion, length: int, body: memoryview) -> tuple[InferPlan, list[memoryview]]:
    """The plan of a request, and the parts of its body that belong to its inputs."""
    if length == 0:
        plan = infer_json.raw_plan(loaded.signature, len(body))
        return plan, infer_json.raw_parts(plan, body)
    description = bytes(body[:length])
    plan = loaded.http_plans.get(description) or loaded.http_plans.keep(
        description, infer_json.plan(description, loaded.signature)
    )
    return plan, tail_parts(plan, body[length:], loaded.key.model)


def _check_length(loaded: LoadedVersion, length: int) -> None:
    most = longest_json(loaded.signature)
    if most is not None and length > most:
        raise InvalidArgumentError(
            f"the JSON of the request has {length} bytes, a request for model '{loaded.key.model}' needs {most} at most"
        )


def _takes_long(plan: InferPlan, outcome: Mapping[str, Array] | RequestError) -> bool:
    """Whether outputs are to be written that are large, as JSON or as text."""
    if isinstance(outcome, RequestError):
        return False
    if answers_many_texts(plan, outcome):
        return True
    return any(not output.binary and outcome[output.tensor.name].size > _WRITTEN_AT_ONCE for output in plan.outputs)


def _coding(exchange: Exchange, answer: HttpAnswer) -> compression.Coding | None:
    accepted = exchange.head.headers.get("accept-encoding")
    return compression.chosen(accepted) if accepted and answer.status == HTTPStatus.OK else None


def _description_length(exchange: Exchange, size: int) -> int:
    """How much of the body is JSON; 0: none, the body is one raw tensor."""
    text = exchange.head.headers.get(_HEADER_LENGTH)
    if text is None:
        return size
    if not (text.isascii() and text.isdecimal()) or len(text) > _MOST_DIGITS or int(text) > size:
        raise InvalidArgumentError(
            f"Unable to parse {_HEADER_LENGTH_NAME}, got: {text}: it must be a number from 0 to the body's {size} bytes"
        )
    return int(text)


def _infer_answer(loaded: LoadedVersion, plan: InferPlan, outcome: Mapping[str, Array] | RequestError) -> HttpAnswer:
    if isinstance(outcome, RequestError):
        return error_answer(outcome, TEXT if isinstance(outcome, InternalError) else JSON)
    try:
        answer = infer_json.answer(loaded.signature, plan, outcome)
    except RequestError as error:
        return error_answer(error)
    except Exception:
        _log.exception("answer failed", protocol="http", model=loaded.key.model)
        return error_answer(InternalError("the model's outputs cannot be sent, see the server's log"))
    if answer.json_size is None:
        return HttpAnswer(200, answer.parts, JSON)
    return HttpAnswer(200, answer.parts, BINARY, ((_HEADER_LENGTH_NAME, str(answer.json_size)),))


def _compressed(answer: HttpAnswer, coding: compression.Coding) -> HttpAnswer:
    packed = compression.compress(answer.parts, coding)
    return replace(answer, parts=(packed,), extra=(*answer.extra, ("Content-Encoding", coding)))


def _gateway(exchange: Exchange) -> GatewayHeaders:
    given = exchange.head.headers
    version = given.get(headers.VERSION)
    model = given.get(headers.MODEL, "")
    if version is None and not model:
        return DIRECT
    return GatewayHeaders(version_of(version or ""), model)


def _order_parameters(exchange: Exchange) -> Mapping[str, Any]:
    if not exchange.body:
        return {}
    return infer_json.parse_parameters(bytes(exchange.body))


def _content_type(error: RequestError) -> str:
    return TEXT if isinstance(error, (NotFoundError, RestrictedError)) else JSON


def _unsupported(exchange: Exchange, _values: Mapping[str, str]) -> HttpAnswer:
    raise UnsupportedError(f"{exchange.head.path} is not supported by this server")
