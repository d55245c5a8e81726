"""Which request is in force: argument, use, default, environment, in this order, in threads and tasks."""

import asyncio
import functools
import itertools
import threading

import numpy as np
import pytest

import dispatch

ONES = np.ones(3)
NAMES = ("argument", "use", "default", "environment")


@pytest.fixture(autouse=True)
def _backends(register):
    for name in NAMES:
        register(name, cost=5.0)
    register("cheapest", cost=0.0)


def who():
    return dispatch.sum(ONES).removesuffix(":0")


def test_with_nothing_asked_for_the_cheapest_runs():
    assert who() == "cheapest"


@pytest.mark.parametrize("settings", [c for n in range(1, 5) for c in itertools.combinations(NAMES, n)], ids="+".join)
def test_precedence(monkeypatch, settings):
    if "environment" in settings:
        monkeypatch.setenv("DISPATCH_BACKEND", "environment")
        dispatch.refresh()
    if "default" in settings:
        dispatch.set_default("default")
    argument = "argument" if "argument" in settings else None
    strongest = min(settings, key=NAMES.index)
    if "use" in settings:
        with dispatch.use("use"):
            assert dispatch.sum(ONES, backend=argument) == f"{strongest}:0"
            decision = dispatch.explain("sum", ONES, backend=argument)
    else:
        assert dispatch.sum(ONES, backend=argument) == f"{strongest}:0"
        decision = dispatch.explain("sum", ONES, backend=argument)
    assert decision.chosen.name == f"{strongest}:0"
    spelled = {
        "argument": "backend='argument'",
        "use": "use('use')",
        "default": "set_default('default')",
        "environment": "DISPATCH_BACKEND='environment'",
    }
    assert decision.source == spelled[strongest]


def test_auto_as_an_argument_overrides_the_rest():
    dispatch.set_default("default")
    with dispatch.use("use"):
        assert dispatch.sum(ONES, backend="auto") == "cheapest:0"


def test_set_default_is_undone_by_none(monkeypatch):
    dispatch.set_default("default")
    assert who() == "default"
    dispatch.set_default(None)
    assert who() == "cheapest"


def test_uses_nest_and_end_with_an_exception():
    with dispatch.use("use"):
        with pytest.raises(ZeroDivisionError), dispatch.use("default"):
            assert who() == "default"
            _ = 1 / 0
        assert who() == "use"
    assert who() == "cheapest"


def test_one_use_object_can_be_entered_again_and_inside_itself():
    use = dispatch.use("use")
    for _ in range(2):
        with use:
            with use, dispatch.use("default"):
                assert who() == "default"
            assert who() == "use"
        assert who() == "cheapest"


def test_decorator():
    @dispatch.use("use")
    def function(argument):
        """Keep me."""
        return who(), argument

    assert function(1) == ("use", 1)
    assert function.__doc__ == "Keep me."
    assert who() == "cheapest"


def test_decorated_coroutine_function_holds_until_it_returns():
    @dispatch.use("use")
    async def coroutine():
        before = who()
        await asyncio.sleep(0)
        return before, who()

    async def main():
        return await asyncio.gather(coroutine(), asyncio.to_thread(who), coroutine())

    assert asyncio.run(main()) == [("use", "use"), "cheapest", ("use", "use")]


async def _coroutine():
    return who()


def _generator():
    yield who()


async def _async_generator():
    yield who()


OUTLIVING = {
    "generator function": _generator,
    "async generator function": _async_generator,
    "partial of one": functools.partial(_generator),
    "function that returns a coroutine": lambda: _coroutine(),
    "function that returns a generator": lambda: _generator(),
    "function that returns an async generator": lambda: _async_generator(),
}


@pytest.mark.parametrize("function", OUTLIVING.values(), ids=OUTLIVING)
def test_what_outlives_the_request_is_refused(function):
    with pytest.raises(TypeError, match=r"cannot decorate .*a with block inside it that no yield interrupts"):
        dispatch.use("use")(function)()


@pytest.mark.parametrize(
    "thing", [3, property(who), classmethod(who), type("C", (), {})], ids=["number", "property", "classmethod", "class"]
)
def test_only_functions_are_decorated(thing):
    with pytest.raises(TypeError, match=r"decorates functions, not .*put it below @property, @classmethod"):
        dispatch.use("use")(thing)


def test_methods_are_decorated_below_what_wraps_them():
    class C:
        @property
        @dispatch.use("use")
        def seen(self):
            return who()

        @staticmethod
        @dispatch.use("use")
        def static():
            return who()

        @classmethod
        @dispatch.use("use")
        def of_class(cls):
            return who()

    assert (C().seen, C.static(), C.of_class()) == ("use", "use", "use")


def test_closing_a_generator_leaves_its_callers_block_alone(register):
    register("inner")

    def generator():
        with dispatch.use("inner"):
            yield

    suspended = generator()
    next(suspended)
    with dispatch.use("use"):
        suspended.close()
        assert who() == "use"
    assert who() == "cheapest"


def test_one_use_may_be_entered_twice():
    request = dispatch.use("use")
    with request:
        with request:
            assert who() == "use"
        assert who() == "use"
    assert who() == "cheapest"


def test_asyncio_tasks_do_not_see_each_other():
    async def task(name):
        with dispatch.use(name):
            seen = set()
            for _ in range(5):
                await asyncio.sleep(0)
                seen.add(who())
            return seen

    async def main():
        return await asyncio.gather(task("use"), task("default"), task("environment"))

    assert asyncio.run(main()) == [{"use"}, {"default"}, {"environment"}]


def test_a_task_inherits_the_use_around_its_creation():
    async def main():
        with dispatch.use("use"):
            task = asyncio.create_task(asyncio.to_thread(who))
        return await task

    assert asyncio.run(main()) == "use"


def test_threads_do_not_see_each_other():
    barrier = threading.Barrier(4)
    seen = {}

    def run(name):
        with dispatch.use(name):
            barrier.wait()
            seen[name] = {who() for _ in range(50)}

    threads = [threading.Thread(target=run, args=(name,)) for name in NAMES]
    with dispatch.use("cheapest"):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert seen == {name: {name} for name in NAMES}


def test_one_use_object_shared_by_threads():
    use = dispatch.use("use")
    barrier = threading.Barrier(4)
    seen = []

    def run():
        for _ in range(50):
            barrier.wait()
            with use:
                seen.append(who())
            seen.append(who())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen.count("use") == seen.count("cheapest") == 200


@pytest.mark.parametrize("ask", [dispatch.use, dispatch.set_default])
def test_an_unknown_name_is_refused_at_once(ask):
    with pytest.raises(dispatch.UnknownBackendError, match=r"unknown backend 'defalt': did you mean 'default'\?"):
        ask("defalt")
    assert who() == "cheapest"


def test_nonsense_in_the_environment_fails_the_first_call_not_the_import(monkeypatch):
    monkeypatch.setenv("DISPATCH_BACKEND", "nonsense")
    dispatch.refresh()
    assert dispatch.backends()[0].available
    with pytest.raises(dispatch.UnknownBackendError) as caught:
        dispatch.sum(ONES)
    assert str(caught.value).startswith("DISPATCH_BACKEND='nonsense': unknown backend 'nonsense': there is ")
    assert caught.value.attempts[0].backend == "nonsense"
    assert dispatch.sum(ONES, backend="cpu") == 3
    monkeypatch.setenv("DISPATCH_BACKEND", "cpu:")
    dispatch.refresh()
    with pytest.raises(ValueError, match="environment variable DISPATCH_BACKEND: backend 'cpu:'"):
        dispatch.sum(ONES)


def test_a_typo_in_the_environment_gets_a_suggestion(monkeypatch):
    monkeypatch.setenv("DISPATCH_BACKEND", "enviroment")
    dispatch.refresh()
    with pytest.raises(dispatch.UnknownBackendError, match=r"did you mean 'environment'\?"):
        dispatch.sum(ONES)


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_variable_asks_for_nothing(monkeypatch, value):
    monkeypatch.setenv("DISPATCH_BACKEND", value)
    dispatch.refresh()
    assert who() == "cheapest"


def test_the_environment_is_read_once_until_refresh(monkeypatch):
    assert who() == "cheapest"
    monkeypatch.setenv("DISPATCH_BACKEND", "environment")
    assert who() == "cheapest"
    dispatch.refresh()
    assert who() == "environment"
