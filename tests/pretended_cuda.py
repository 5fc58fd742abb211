"""A GPU that is not there: fake tensors on a pretended CUDA device.

A fake tensor has shape, type and device, but no values; PyTorch's `FakeTensorMode`
works out what each operation would give, and raises an error where tensors of two
devices meet. So code that leaves a tensor on the CPU fails without any GPU.

What fake tensors cannot do is done here: values that decide how the code goes on
(``if loss < best``, ``x[mask]``) are recorded in a run on the CPU and answered in the
pretended one; backward is walked in Python, for PyTorch's own engine asks the driver;
generators know the device that they were made for.
"""

from contextlib import contextmanager

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

VALUE_TAGS = {torch.Tag.data_dependent_output, torch.Tag.dynamic_output_shape}


def on_pretended_cuda(scenario) -> None:
    """Call ``scenario("cpu")`` with real tensors, then ``scenario("cuda")`` with fake
    ones. It makes all its tensors itself, and must take the same way both times."""
    with Record() as record:
        scenario("cpu")
    with pretended_cuda(record.answers):
        scenario("cuda")
    assert not record.answers, "the pretended run took another way"


def move(module: nn.Module, device: str) -> nn.Module:
    """What ``module.to(device)`` does, which fake tensors do not allow: parameters and
    buffers move, and no other tensor."""
    for part in module.modules():
        for name, value in part._parameters.items():
            if value is not None:
                part._parameters[name] = nn.Parameter(value.detach().to(device))
        for name, value in part._buffers.items():
            if value is not None:
                part._buffers[name] = value.to(device)
    return module


@contextmanager
def pretended_cuda(answers: list):
    """Within it every tensor is fake, and ``device="cuda"`` can be asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "Generator", Generator)
        patch.setattr(Tensor, "backward", walk_backward)
        patch.setattr(Tensor, "numpy", _numpy)
        patch.setattr(Tensor, "__deepcopy__", _copy)
        with FakeTensorMode(), Replay(answers), CheckGenerators():
            try:
                torch.zeros(1).to("cuda")
            except (RuntimeError, AssertionError) as fault:  # before about 2.9
                pytest.skip(f"this PyTorch cannot pretend a GPU: {fault}")
            yield


@torch.no_grad()
def walk_backward(loss: Tensor) -> None:
    """Reverse-mode differentiation, node by node from the loss to the leaves."""
    order, seen = [], set()

    def visit(node):
        if node is not None and node not in seen:
            seen.add(node)
            for parent, _ in node.next_functions:
                visit(parent)
            order.append(node)

    visit(loss.grad_fn)
    gradients = {loss.grad_fn: [torch.ones_like(loss)]}
    for node in reversed(order):
        if node not in gradients:
            continue
        call = getattr(node, "apply", node)  # of a torch.autograd.Function, or torch's
        found = call(*gradients.pop(node))
        found = found if isinstance(found, tuple) else (found,)
        for (parent, i), gradient in zip(node.next_functions, found, strict=False):
            if parent is None or gradient is None:
                continue
            wanted = parent._input_metadata[i]
            gradient = gradient.sum_to_size(wanted.shape)  # where it was broadcast
            slots = gradients.setdefault(parent, [None] * len(parent._input_metadata))
            slots[i] = gradient if slots[i] is None else slots[i] + gradient


def _needs_values(operation, arguments) -> bool:
    if operation is torch.ops.aten.index.Tensor:  # by a mask, not by numbers
        masks = (torch.bool, torch.uint8)
        return any(i is not None and i.dtype in masks for i in arguments[1])
    return bool(VALUE_TAGS & set(operation.tags))


class Record(TorchDispatchMode):
    """Notes what every operation gave that fake tensors could not give."""

    def __init__(self):
        super().__init__()
        self.answers = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        if _needs_values(operation, args):
            self.answers.append((operation, result))
        return result


class Replay(TorchDispatchMode):
    """Gives what was noted, as numbers or as fake tensors of the noted shape."""

    def __init__(self, answers):
        super().__init__()
        self.answers = answers

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if _needs_values(operation, args):
            noted, result = self.answers.pop(0)
            assert noted is operation, "the pretended run took another way"
            if isinstance(result, Tensor):
                return args[0].new_empty(result.shape, dtype=result.dtype)
            return result
        return operation(*args, **kwargs)


class Generator(torch.Generator):
    """A generator on the CPU that knows where it is said to be."""

    def __new__(cls, device="cpu"):
        made = super().__new__(cls)
        made.where = torch.device(device).type
        return made


class CheckGenerators(TorchFunctionMode):
    """Random numbers for a device come from a generator of that device."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        result = function(*args, **kwargs)
        generator = kwargs.get("generator")
        if isinstance(generator, Generator) and generator.where != result.device.type:
            raise RuntimeError(
                f"Expected a {result.device.type!r} generator, found {generator.where}"
            )
        return result


def _numpy(tensor: Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError("can't convert a CUDA tensor to numpy")
    return np.zeros(tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _copy(tensor: Tensor, memo: dict) -> Tensor:
    """Without this the mode would be copied too."""
    copied = tensor.detach().clone().requires_grad_(tensor.requires_grad)
    return memo.setdefault(id(tensor), copied)
