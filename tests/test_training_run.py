"""A training run as it is computed: several processes, bf16, workers, logs, and the command line."""

from __future__ import annotations

import csv
import dataclasses
import os
import socket
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
from torch import Tensor  # noqa: E402

pytest.importorskip("safetensors")
pytest.importorskip("scipy")

from training_samples import make_samples, tiny_config  # noqa: E402

from training import logs, train  # noqa: E402
from training.batches import TrainingViews, batches, default_workers  # noqa: E402
from training.config import Config  # noqa: E402
from training.distributed import SyncedBatchNorm2d, World, join  # noqa: E402
from training.network import LesionNetwork  # noqa: E402
from training.train import RunOptions, Trainer  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")


def four_images_a_step() -> Config:
    config = tiny_config()
    return dataclasses.replace(config, train=dataclasses.replace(config.train, batch_size=4))


def read_log(run: Path) -> list[dict[str, str]]:
    with (run / "log.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def make_images() -> Tensor:
    return torch.rand(4, 1, 64, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def make_network() -> LesionNetwork:
    torch.manual_seed(0)
    return LesionNetwork(decoder_width=8).double()


def some_loss(maps: Tensor) -> Tensor:
    return torch.nn.functional.softplus(3.0 * maps).mean()


def train_in_one_of_two(rank: int, port: int, out: str) -> None:
    """A process of torchrun's: one step in double precision; then a run of one epoch, killed, and resumed."""
    facts = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {key: str(value) for key, value in facts.items()}
    torch.set_num_threads(1)
    with join("cpu") as world:
        network = make_network()
        spread = world.spread(network)
        (some_loss(spread(make_images()[rank::2])) + 0.0 * network.pooling.sum()).backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        torch.save((gradients, network.state_dict()), f"{out}/step{rank}.pt")

        options = RunOptions(workers=0)
        for until in (1, None):
            trainer = Trainer(
                four_images_a_step(), make_samples(), Path(out), pretrained=False, options=options, world=world
            )
            assert trainer.epoch == (0 if until else 1)
            trainer.run(until=until)
        torch.save(trainer.average.shadow, f"{out}/average{rank}.pt")
        options = RunOptions(precision="bf16", workers=0)
        half = Trainer(
            four_images_a_step(), make_samples(), Path(out) / "bf16", pretrained=False, options=options, world=world
        )
        half.run(until=1)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes left behind."""
    folder = tmp_path_factory.mktemp("pair")
    torch.multiprocessing.spawn(train_in_one_of_two, (free_port(), str(folder)), nprocs=2)
    return folder


def test_two_processes_take_the_step_of_one_with_the_joined_batch(pair: Path) -> None:
    network = make_network()
    some_loss(network(make_images())).backward()
    for rank in (0, 1):
        gradients, state = torch.load(pair / f"step{rank}.pt")
        for name, parameter in network.named_parameters():
            if name != "pooling":
                assert torch.allclose(gradients[name], parameter.grad, rtol=1e-7, atol=1e-12), name
        for name, value in network.state_dict().items():  # batch norm's running statistics among it
            assert torch.allclose(state[name].double(), value.double(), rtol=1e-9, atol=1e-12), name


def test_two_processes_killed_and_resumed_train_as_one(pair: Path, tmp_path: Path) -> None:
    single = Trainer(four_images_a_step(), make_samples(), tmp_path, pretrained=False, options=RunOptions(workers=0))
    single.run()
    averages = [torch.load(pair / f"average{rank}.pt") for rank in (0, 1)]
    assert all(torch.equal(averages[0][name], averages[1][name]) for name in averages[0])
    rows, others = read_log(pair), read_log(tmp_path)
    assert len(rows) == len(others) == 3
    # From the second step on, rounding moves batch norms over a few pixels apart: the step above is the proof.
    for name in ("loss", "malignant/outside", "abnormal/size"):
        assert float(rows[0][name]) == pytest.approx(float(others[0][name]), rel=1e-3), name
    for name in ("loss", "malignant/outside", "abnormal/dice"):
        assert float(rows[2][name]) == pytest.approx(float(others[2][name]), rel=0.1), name


def test_two_processes_train_in_bf16(pair: Path) -> None:
    assert float(read_log(pair / "bf16")[0]["loss"]) == pytest.approx(float(read_log(pair)[0]["loss"]), rel=0.05)


def test_a_batch_that_cannot_be_dealt_out_is_refused() -> None:
    views = TrainingViews(make_samples(), tiny_config())
    with pytest.raises(ValueError, match="batch_size 2 cannot be dealt out to 3"):
        batches(views, first_step=0, last_step=1, world=World(0, 3), workers=0)


def test_workers_and_ranks_do_not_change_the_images() -> None:
    views = TrainingViews(make_samples(), four_images_a_step())
    steps = {"first_step": 1, "last_step": 3}
    plain = list(batches(views, **steps, world=World(), workers=0))
    worked = list(batches(views, **steps, world=World(), workers=2))
    halves = [list(batches(views, **steps, world=World(rank, 2), workers=0)) for rank in (0, 1)]
    assert len(plain) == 2 and all(len(batch) == 4 for batch in plain)
    for step, batch in enumerate(plain):
        for position, view in enumerate(batch):
            for other in (worked[step][position], halves[position % 2][step][position // 2]):
                assert torch.equal(view.image, other.image) and torch.equal(view.labels, other.labels)
                assert view.pathology == other.pathology and view.outlined_px == other.outlined_px
    assert not torch.equal(plain[0][0].image, plain[1][0].image)


def test_kinds_are_drawn_in_the_configured_shares() -> None:
    config = tiny_config()
    config = dataclasses.replace(config, train=dataclasses.replace(config.train, epochs=100))
    views = TrainingViews(make_samples(), config)
    drawn = [views[n].pathology for n in range(400)]
    for kind, share in config.data.share.items():
        assert drawn.count(kind) / 400 == pytest.approx(share, abs=0.08)
    with pytest.raises(ValueError, match="no training image"):
        TrainingViews([], config)


def test_bf16_learns_nearly_the_same(tmp_path: Path) -> None:
    losses = []
    for precision in ("fp32", "bf16"):
        run = tmp_path / precision
        options = RunOptions(precision=precision, workers=0)
        trainer = Trainer(tiny_config(), make_samples(), run, pretrained=False, options=options)
        trainer.run(until=1)
        assert all(p.dtype == torch.float32 for p in trainer.model.parameters())
        losses.append(float(read_log(run)[0]["loss"]))
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    with pytest.raises(ValueError, match="fp8"):
        Trainer(tiny_config(), make_samples(), tmp_path, pretrained=False, options=RunOptions(precision="fp8"))


def test_without_outlines_to_validate_on_the_last_epoch_is_the_best(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = [sample for sample in make_samples() if sample.split == "train"]
    Trainer(tiny_config(), samples, tmp_path, pretrained=False, options=RunOptions(workers=0)).run()
    told = capsys.readouterr().err
    assert told == "no validation image: the last epoch counts as the best, and nothing can be calibrated\n"
    assert (tmp_path / "best.safetensors").read_bytes() == (tmp_path / "last.safetensors").read_bytes()


def test_synced_batch_norm_is_batch_norm_in_evaluation() -> None:
    plain, synced = torch.nn.BatchNorm2d(3).eval(), SyncedBatchNorm2d(3).eval()
    x = torch.randn(2, 3, 5, 4)
    assert torch.equal(plain(x), synced(x))


def test_tensorboard_gets_every_number_or_says_that_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        logs.TensorBoardLog(tmp_path)
    assert train.main(["--data", str(tmp_path), "--tensorboard", "--out", str(tmp_path / "run")]) == 2
    assert not (tmp_path / "run").exists()  # said before any image is prepared

    written: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            assert folder == str(tmp_path)

        def add_scalar(self, name: str, value: float, step: int) -> None:
            written.append((name, value, step))

        def flush(self) -> None:
            written.append(("flushed", 0.0, 0))

    module = type(sys)("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    logs.TensorBoardLog(tmp_path).write({"epoch": 4, "loss": 1.5, "note": "text"})
    assert written == [("loss", 1.5, 4), ("flushed", 0.0, 0)]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorBoard's own
def test_tensorboard_itself_reads_what_log_csv_holds(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    options = RunOptions(workers=0, tensorboard=True)
    for until in (1, 2):  # the second goes on where the first was ended
        Trainer(tiny_config(), make_samples(), tmp_path, pretrained=False, options=options).run(until=until)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    rows = read_log(tmp_path)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    written = {(tag, event.step): event.value for tag in events.Tags()["scalars"] for event in events.Scalars(tag)}
    expected = {
        (name, int(row["epoch"])): float(value)
        for row in rows
        for name, value in row.items()
        if name != "epoch" and value
    }
    assert "loss" in {name for name, _ in expected}
    assert written == pytest.approx(expected, rel=1e-6, nan_ok=True)


class Terminal:
    def __init__(self, *, is_terminal: bool) -> None:
        self.text, self._is_terminal = "", is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def write(self, text: str) -> None:
        self.text += text

    def flush(self) -> None: ...


@pytest.mark.parametrize("is_terminal", [True, False])
def test_progress_is_for_terminals_only(is_terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(is_terminal=is_terminal)
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = logs.Progress(steps=10, done=4, shown=True)
    progress.step(3)
    progress.clear()
    assert ("[5/10] epoch 3, " in terminal.text) is is_terminal
    assert bool(terminal.text) is is_terminal
    logs.Progress(steps=10, done=4, shown=False).step(3)  # another process of the run tells it
    assert terminal.text.count("epoch") == is_terminal


def test_devices_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"), join("cuda"):
        pass
    with pytest.raises(ValueError, match="accepted: auto, cpu, cuda"), join("tpu"):
        pass
    with join() as world:
        assert world == World(0, 1, torch.device("cpu")) and world.is_main
        assert default_workers(world) == 1


def test_the_command_says_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(tmp_path / "none"), "--config", str(tmp_path / "none.toml"), "--out", str(tmp_path)]
    assert train.main([*arguments, "--device", "cpu"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    for wrong in (["--threads", "0"], ["--workers", "-1"], ["--workers", "two"]):
        with pytest.raises(SystemExit):
            train.main([*arguments, *wrong])
        assert "needed: a whole number" in capsys.readouterr().err
