from forebay_operator.manifests.kinds import PODS, Kind
from forebay_operator.worlds.kubernetes.store import Store
from kubernetes_builders import an_object, changed


def a_store() -> tuple[Store, list[Kind]]:
    changes: list[Kind] = []
    return Store(changes.append), changes


def test_a_newer_version_takes_the_place_of_an_older_one_and_never_the_reverse() -> None:
    store, changes = a_store()
    first = an_object(PODS, "a", spec={"n": 1})
    second = changed(first, spec={"n": 2})
    store.event(PODS, "ADDED", second)
    store.event(PODS, None, first)
    found = store.find(PODS, "default", "a")
    assert found is not None
    assert found.object["spec"] == {"n": 2}
    assert len(changes) == 1


def test_the_deletion_of_an_object_that_comes_late_leaves_its_namesake() -> None:
    store, _ = a_store()
    old, new = an_object(PODS, "a"), an_object(PODS, "a")
    store.event(PODS, "ADDED", old)
    store.event(PODS, "ADDED", new)
    store.event(PODS, "DELETED", changed(old))
    found = store.find(PODS, "default", "a")
    assert found is not None
    assert found.uid == new["metadata"]["uid"]


def test_the_answer_to_a_write_that_comes_after_the_deletion_brings_nothing_back() -> None:
    store, _ = a_store()
    pod = an_object(PODS, "a")
    store.event(PODS, "ADDED", pod)
    written = changed(pod)
    store.event(PODS, "DELETED", changed(pod))
    store.put(PODS, written)
    assert store.find(PODS, "default", "a") is None


def test_a_listing_finds_what_was_deleted_unseen_and_spares_what_is_newer_than_it() -> None:
    store, _ = a_store()
    gone, there, replaced, newer = (an_object(PODS, name) for name in ("gone", "there", "replaced", "newer"))
    for pod in (gone, there, replaced, newer):
        store.event(PODS, "ADDED", pod)
    at = int(newer["metadata"]["resourceVersion"]) - 1
    listed = {
        ("default", "there"): (there["metadata"]["uid"], int(there["metadata"]["resourceVersion"])),
        ("default", "replaced"): ("another", at),
    }
    assert sorted(seen.name for seen in store.drop_gone(PODS, listed, at)) == ["gone", "replaced"]
    assert {seen.name for seen in store.all(PODS)} == {"there", "newer"}


def test_a_listing_of_one_namespace_says_nothing_of_others() -> None:
    store, _ = a_store()
    pod = an_object(PODS, "a", metadata={"namespace": "elsewhere"})
    store.event(PODS, "ADDED", pod)
    assert store.drop_gone(PODS, {}, 10**9, "default") == []
    assert store.count(PODS) == 1


def test_what_a_listing_has_and_the_store_has_not_was_missed() -> None:
    store, _ = a_store()
    pod = an_object(PODS, "a")
    store.event(PODS, "ADDED", pod)
    version = int(pod["metadata"]["resourceVersion"])
    assert store.missed(PODS, {("default", "a"): ("u", version)}) == []
    assert store.missed(PODS, {("default", "a"): ("u", version + 1)}) == [("default", "a")]
    assert store.missed(PODS, {("default", "b"): ("u", 1)}) == [("default", "b")]


def test_managed_fields_are_not_kept() -> None:
    store, _ = a_store()
    store.event(PODS, "ADDED", an_object(PODS, "a", metadata={"managedFields": [{"manager": "x"}]}))
    found = store.find(PODS, "default", "a")
    assert found is not None
    assert "managedFields" not in found.metadata
