"""A parent and an enclave in two virtual machines: one manifest, two real kernels.

Where the environment variable ``TRIONITRO_TEST_VM`` is set, and a kit for guests can
be built; that takes minutes. It is one long story, for guests are slow to boot, and
each test looks at a piece of it. The story is in the order of the tests.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
import trio

from tests.vm.two_guests import Guest, Program, Story, networks
from tests.vm.two_guests_files import REGION, SECRET, some_credentials, write_files
from trionitro.vm import NSM_DEVICE, Kit, build_enclave_kit

pytestmark = [
    pytest.mark.skipif(
        "TRIONITRO_TEST_VM" not in os.environ,
        reason="boots virtual machines, which TRIONITRO_TEST_VM=1 asks for",
    ),
    pytest.mark.timeout(900),
]


@attrs.define(eq=False)
class World:
    """What the story is about.

    Attributes:
      parent: the guest that is the parent instance.
      enclave: the guest that is the enclave.
      role: credentials that the parent has for the enclave.
      parents_half: what runs of it in the parent, or ran there last.
      enclaves_half: likewise.

    """

    parent: Guest
    enclave: Guest
    role: dict[str, str]
    parents_half: Program = attrs.field(init=False)
    enclaves_half: Program = attrs.field(init=False)

    async def boot(self) -> None:
        """Boot both guests."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.parent.boot)
            nursery.start_soon(self.enclave.boot)

    async def prepare(self) -> None:
        """Start what both need, each in its guest: the world outside, and who signs.

        The enclave's half is started as well, which has no parent yet.

        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._start_kms)
            nursery.start_soon(start_own, self.parent, "server.py")
            nursery.start_soon(start_own, self.enclave, "signer.py")
            nursery.start_soon(self._start_enclaves_half)

    async def _start_kms(self) -> None:
        kms = await self.parent.start(
            *("trionitro", "kms", "emulate", "--region", REGION),
            *("--listen", "tcp://127.0.0.1:443", "--ca-out", "/run/kms-ca.pem"),
            *("--attestation-root", "/job/root.pem", "--keys", "/job/keys.json"),
            *("--access-keys", "/job/access.json"),
        )
        await kms.line("listening")
        ca = await self.parent.run("cat", "/run/kms-ca.pem")
        await self.enclave.run("sh", "-ec", f"echo '{ca}' >/run/kms-ca.pem")

    async def wait_alone(self) -> str:
        """Return what the enclave's half says to there being no parent."""
        return await self.enclaves_half.line("waiting for the parent")

    async def start_parents_half(self) -> None:
        """Start it, upon which the two find each other."""
        await self._start_parents_half()
        await self.enclaves_half.line("booted")
        await self.parents_half.line("line='the application is ready'")

    async def ask(self, path: str, *options: str) -> str:
        """Ask the application, from the parent's guest."""
        curl = ("curl", "-sS", "-m", "60", *options)
        return await self.parent.run(*curl, self.url(path))

    def url(self, path: str) -> str:
        """Where the application is asked, in the parent's guest."""
        return f"http://127.0.0.1:9443{path}"

    async def decrypt(self, name: str) -> str:
        """Have the application decrypt what was encrypted under a key."""
        return await self.ask("/decrypt", "--data-binary", f"@/job/{name}.bin")

    async def exit_with(self, code: int) -> int | None:
        """Have the application end, and return the exit code of its boot."""
        await self.ask(f"/exit/{code}", "--data", "")
        await self.parents_half.line("enclave exited")
        return await self.enclaves_half.end()

    async def pair_with_another_manifest(self) -> tuple[str, str]:
        """Start an enclave with another manifest; return what both halves say."""
        self.enclaves_half = await self.enclave.start(
            *("trionitro", "enclave", "--nsm", "/dev/nsm", "/job/other.toml")
        )
        assert await self.enclaves_half.end() == 1
        return self.enclaves_half.lines[-1], await self.parents_half.line("not paired")

    async def kill_parents_half(self) -> tuple[str, str]:
        """Kill it and start it again; return what the enclave's says to each."""
        said = len(self.parents_half.lines)
        await self._start_enclaves_half()
        await self.parents_half.line("tick 3[.]", after=said)
        said = len(self.enclaves_half.lines)
        await self.parents_half.send_signal("SIGKILL")
        await self.parents_half.end()
        lost = await self.enclaves_half.line("lost the parent ", after=said)
        await self._start_parents_half()
        found = await self.enclaves_half.line("found the parent again")
        await self.parents_half.line("enclave paired")
        await self.parents_half.line("tick")
        return lost, found

    async def kill_parent(self) -> str:
        """Kill the parent's guest; return what the enclave's half says."""
        said = len(self.enclaves_half.lines)
        await self.parent.kill()
        lost = await self.enclaves_half.line("lost the parent ", after=said)
        assert not self.enclaves_half.is_over
        return lost

    async def boot_parent_again(self) -> str:
        """Boot it again, and start its half; return what the application says."""
        said = len(self.enclaves_half.lines)
        await self.parent.boot()
        await self._start_parents_half()
        await self.enclaves_half.line("found the parent again", after=said)
        await self.parents_half.line("line=.*found the parent again")
        return await self.ask("/hello")

    async def kill_enclave(self) -> tuple[str, str]:
        """Kill the enclave's guest; return what the parent's half says, and curl."""
        said = len(self.parents_half.lines)
        await self.enclave.kill()
        curl = await self.parent.start("curl", "-sS", "-m", "60", self.url("/hello"))
        lost = await self.parents_half.line("enclave lost", after=said)
        assert await curl.end() != 0
        return lost, curl.lines[-1]

    async def stop_parent(self) -> tuple[int | None, int | None]:
        """Stop the parent's half, then its guest; return the exit codes of both."""
        await self.parents_half.send_signal("SIGTERM")
        return await self.parents_half.end(), await self.parent.end()

    async def _start_enclaves_half(self) -> None:
        self.enclaves_half = await self.enclave.start(
            *("trionitro", "enclave", "--nsm", "/dev/nsm", "/job/nitro.toml")
        )

    async def _start_parents_half(self) -> None:
        self.parents_half = await self.parent.start(
            *("trionitro", "parent", "/job/nitro.toml"), **self.role
        )


async def start_own(guest: Guest, program: str) -> None:
    """Start one of the test's own programs, and wait until it is ready."""
    await (await guest.start("python3", "-u", f"/job/{program}")).line("is ready")


async def tell(story: Story, world: World) -> None:
    """Go through the whole story."""
    await story.step("boot", world.boot)
    await story.step("prepare", world.prepare)
    await story.step("alone", world.wait_alone)
    await story.step("pair", world.start_parents_half)
    await story.step("hello", world.ask, "/hello")
    await story.step("https", world.ask, "/https")
    await story.step("decrypt", world.decrypt, "signer")
    await story.step("decrypt another's", world.decrypt, "other")
    await story.step("exit", world.exit_with, 7)
    await story.step("another manifest", world.pair_with_another_manifest)
    await story.step("kill the parent's half", world.kill_parents_half)
    await story.step("kill the parent", world.kill_parent)
    await story.step("boot the parent again", world.boot_parent_again)
    await story.step("kill the enclave", world.kill_enclave)
    await story.step("stop", world.stop_parent)


@pytest.fixture(name="told", scope="module")
def _told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Story, World]:
    """Tell the story, once."""
    directory = tmp_path_factory.mktemp("two-guests")
    return trio.run(_tell, directory, build_enclave_kit())


async def _tell(directory: Path, kit: Kit) -> tuple[Story, World]:
    parents, enclaves = networks(directory, 3, 16)
    role = some_credentials()
    await write_files(directory, role)
    story = Story()
    async with trio.open_nursery() as nursery:
        world = World(
            parent=Guest("parent", parents, kit, directory, (), nursery),
            enclave=Guest("enclave", enclaves, kit, directory, NSM_DEVICE, nursery),
            role={
                "AWS_ACCESS_KEY_ID": role.access_key_id,
                "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
            },
        )
        for network in (parents, enclaves):
            await nursery.start(network.serve)
        await tell(story, world)
        nursery.cancel_scope.cancel()
    return story, world


@pytest.fixture(name="story")
def _story(told: tuple[Story, World]) -> Story:
    return told[0]


@pytest.fixture(autouse=True)
def _show(told: tuple[Story, World]) -> Iterator[None]:
    """Have a test that fails show what was said in the guests."""
    yield
    story, world = told
    sys.stdout.write(f"seconds of each step: {story.seconds}\n")
    for guest in (world.parent, world.enclave):
        sys.stdout.write("\n".join(map(str, guest.programs)))
        console = guest.console.decode(errors="replace")
        sys.stdout.write(f"\n---- the console of {guest.name}:\n{console}\n")


def test_both_guests_boot(story: Story) -> None:
    story["boot"]
    story["prepare"]


def test_an_enclave_that_is_first_waits_for_its_parent_and_says_so(
    story: Story,
) -> None:
    assert "nobody listens on that port" in story["alone"]


def test_the_same_manifest_brings_the_halves_together(story: Story) -> None:
    story["pair"]


def test_who_asks_the_parent_is_answered_by_the_application(story: Story) -> None:
    assert story["hello"] == "hello from enclave"


def test_the_application_reaches_a_server_outside_over_its_own_tls(
    story: Story,
) -> None:
    assert story["https"] == "server.test:8443 has /path"


def test_kms_decrypts_for_the_image_that_the_key_is_for(story: Story) -> None:
    """With the parent's credentials, and a document that /dev/nsm has made."""
    assert story["decrypt"] == SECRET.decode()


def test_kms_decrypts_nothing_that_is_for_another_image(story: Story) -> None:
    assert "AccessDeniedException" in story["decrypt another's"]


@pytest.mark.parametrize(
    "line",
    [
        "source=stdout line='the application is ready'",
        "source=stderr line='\"GET /hello HTTP/1.1\" 200 -'",
        "source=boot line=.* booted seconds=",
    ],
)
def test_what_is_said_in_the_enclave_is_in_the_parents_log(
    line: str, told: tuple[Story, World]
) -> None:
    assert heard(told[1], line)


def test_the_exit_code_and_the_last_words_reach_the_parent(
    told: tuple[Story, World],
) -> None:
    story, world = told
    assert story["exit"] == 7
    assert heard(world, "enclave exited .*code=7 .*the last word")


def test_with_another_manifest_the_halves_do_not_pair_and_both_say_why(
    story: Story,
) -> None:
    enclave, parent = story["another manifest"]
    assert "the parent has another manifest" in enclave
    assert "the enclave has another manifest" in parent


def test_a_parents_half_that_is_killed_is_missed_and_found_again(story: Story) -> None:
    lost, _ = story["kill the parent's half"]
    assert "it closed the connection" in lost


def test_a_parent_that_is_killed_is_missed_when_it_is_silent(story: Story) -> None:
    assert "it said nothing, or took nothing, for too long" in story["kill the parent"]


def test_a_parent_that_boots_again_finds_the_application_at_work(story: Story) -> None:
    assert story["boot the parent again"] == "hello from enclave"


def test_what_was_said_while_the_parent_was_gone_is_told_when_it_is_back(
    told: tuple[Story, World],
) -> None:
    story, world = told
    story["boot the parent again"]
    half = world.parents_half
    numbers = {int(n) for n in re.findall(r"'tick (\d+)[.]'", "\n".join(half.lines))}
    assert any("lost the parent problem=" in line for line in half.lines)
    assert numbers == {*range(min(numbers), max(numbers) + 1)}


def test_an_enclave_that_is_killed_is_missed_when_it_is_silent(story: Story) -> None:
    lost, _ = story["kill the enclave"]
    assert "it said nothing, or took nothing, for too long" in lost


def test_who_asks_for_an_enclave_that_is_gone_is_reset(story: Story) -> None:
    _, curl = story["kill the enclave"]
    assert "reset" in curl


def test_the_parents_half_outlives_its_enclave_and_stops_in_order(story: Story) -> None:
    assert story["stop"] == (0, 0)


def heard(world: World, pattern: str) -> list[str]:
    """Return the lines of all the parent's halves in which ``pattern`` is found."""
    lines = (line for program in world.parent.programs for line in program.lines)
    return [line for line in lines if re.search(pattern, line)]
