"""Messages of LeRobot's asynchronous inference, made by its own classes (async_inference/helpers.py, transport/utils.py and
services_pb2.py of a checkout; torch, numpy, grpcio and protobuf of Debian 12):

    python3 lerobot_async.py CHECKOUT record     writes ../lerobot_async/{setup,observation,observation5}.json
    python3 lerobot_async.py CHECKOUT talk HOST:PORT   the recorded robot against a running server; prints what its chunk is

What these files import beside and do not use here (configs, robots, the policies) is stood in for by empty modules.
"""

import base64
import importlib.util
import json
import pathlib
import pickle
import sys
import types

import numpy as np
import torch

checkout = pathlib.Path(sys.argv[1])
here = pathlib.Path(__file__).resolve().parent
case = here.parent / "smolvla_tiny"
out = here.parent / "lerobot_async"


def stand_in(name, **members):
    module = types.ModuleType(name)
    module.__path__ = []
    for key, value in members.items():
        setattr(module, key, value)
    sys.modules[name] = module
    return module


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, checkout / path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    parent, _, last = name.rpartition(".")
    setattr(sys.modules[parent], last, module)
    return module


none = type("None_", (), {})
for name in ["lerobot", "lerobot.utils", "lerobot.robots", "lerobot.async_inference", "lerobot.transport"]:
    stand_in(name)
stand_in("lerobot.configs", PolicyFeature=none)
policies = ["ACTConfig", "DiffusionConfig", "PI0Config", "PI05Config", "SmolVLAConfig", "VQBeTConfig"]
stand_in("lerobot.policies", **{name: none for name in policies})
stand_in("lerobot.robots.robot", Robot=none)
stand_in("lerobot.utils.constants", OBS_IMAGES="observation.images", OBS_STATE="observation.state", OBS_STR="observation")
stand_in("lerobot.utils.feature_utils", build_dataset_frame=None, hw_to_dataset_features=None)
stand_in("lerobot.utils.utils", init_logging=None)
stand_in("lerobot.utils.transition", Transition=none)
# The generated code asks for a newer protobuf than it needs.
domain = types.SimpleNamespace(PUBLIC=0)
import google.protobuf

version = types.ModuleType("google.protobuf.runtime_version")
version.Domain = domain
version.ValidateProtobufRuntimeVersion = lambda *_: None
sys.modules["google.protobuf.runtime_version"] = version
google.protobuf.runtime_version = version
messages = load("lerobot.transport.services_pb2", "src/lerobot/transport/services_pb2.py")
transport = load("lerobot.transport.utils", "src/lerobot/transport/utils.py")
helpers = load("lerobot.async_inference.helpers", "src/lerobot/async_inference/helpers.py")


def recorded():
    data = (case / "io.safetensors").read_bytes()
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    types_ = {"F32": np.float32, "U8": np.uint8}
    arrays = {}
    for name, entry in header.items():
        if not name.startswith("raw."):
            continue
        begin, end = entry["data_offsets"]
        array = np.frombuffer(data[8 + n + begin : 8 + n + end], dtype=types_[entry["dtype"]])
        arrays[name[4:]] = array.reshape(entry["shape"])
    return arrays


arrays = recorded()
config = json.loads((case / "config.json").read_text())
state = arrays["observation.state"].reshape(-1)
motors = [f"joint_{i}.pos" for i in range(state.size)]
features = {"observation.state": {"dtype": "float32", "shape": (state.size,), "names": motors}}
raw = {name: float(value) for name, value in zip(motors, state)}
# A robot may give numpy's own numbers.
raw[motors[1]] = np.float64(raw[motors[1]])
raw[motors[2]] = np.float32(raw[motors[2]])
for name, array in arrays.items():
    if name.startswith("observation.images."):
        camera = name.removeprefix("observation.images.")
        features[name] = {"dtype": "image", "shape": array.shape, "names": ["height", "width", "channels"]}
        raw[camera] = array.astype(np.uint8)
raw["task"] = json.loads((case / "io.json").read_text())["task"]
setup = helpers.RemotePolicyConfig("smolvla", "somebody/model", features, 7, "cpu")
observation = helpers.TimedObservation(timestamp=1700000000.25, timestep=3, observation=raw, must_go=True)


def pieces(data):
    sent = transport.send_bytes_in_chunks(data, messages.Observation, silent=True)
    return [piece.SerializeToString() for piece in sent]


if sys.argv[2] == "record":
    out.mkdir(exist_ok=True)
    # Small pieces, so that a recording has several of them.
    transport.CHUNK_SIZE = 20_000
    text = lambda data: base64.b64encode(data).decode()
    written = {
        "setup": [messages.PolicySetup(data=pickle.dumps(setup)).SerializeToString()],
        "observation": pieces(pickle.dumps(observation, protocol=4)),
        "observation5": pieces(pickle.dumps(observation, protocol=5)),
    }
    for name, parts in written.items():
        (out / f"{name}.json").write_text(json.dumps([text(part) for part in parts]))
        print(name, [len(part) for part in parts])
else:
    import grpc

    channel = grpc.insecure_channel(sys.argv[3], transport.grpc_channel_options())
    call = lambda name, reply, many=False: (channel.stream_unary if many else channel.unary_unary)(
        f"/transport.AsyncInference/{name}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=reply.FromString,
    )
    call("Ready", messages.Empty)(messages.Empty())
    call("SendPolicyInstructions", messages.Empty)(messages.PolicySetup(data=pickle.dumps(setup)))
    sent = transport.send_bytes_in_chunks(pickle.dumps(observation), messages.Observation, silent=True)
    call("SendObservations", messages.Empty, many=True)(sent)
    actions = pickle.loads(call("GetActions", messages.Actions)(messages.Empty()).data)
    for action in actions:
        assert isinstance(action, helpers.TimedAction) and action.get_action().dtype == torch.float32
    print(json.dumps({
        "timesteps": [a.get_timestep() for a in actions],
        "timestamps": [a.get_timestamp() for a in actions],
        "actions": [a.get_action().tolist() for a in actions],
    }))
