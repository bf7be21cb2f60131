#include "backend/cuda/device.h"

#include <dlfcn.h>

#include <chrono>
#include <cstdlib>
#include <utility>

#include "kernels/cuda/table.h"

namespace tendon {

namespace {

constexpr const char* library_name = "libtendon_cuda.so";

// Beside the addon or program that holds the core.
std::string library_path() {
  Dl_info info;
  if (dladdr(reinterpret_cast<const void*>(&library_path), &info) == 0 || info.dli_fname == nullptr)
    return library_name;
  const std::string core = info.dli_fname;
  const size_t slash = core.rfind('/');
  return (slash == std::string::npos ? "./" : core.substr(0, slash + 1)) + library_name;
}

// Stays open: devices and their memory may outlive whoever asked first.
const cuda::Api& library_api(const std::string& device) {
  const std::string path = library_path();
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    const char* cause = dlerror();
    throw BuildError("native_unavailable",
                     format("device %s: expected the CUDA library at %s; build it with `TENDON_CUDA=on node "
                            "native/build.mjs` (needs nvcc) or leave `device` out to run on the CPU. %s",
                            device.c_str(), path.c_str(), cause == nullptr ? "" : cause));
  }
  using Give = const cuda::Api* (*)();
  const auto give = reinterpret_cast<Give>(dlsym(library, cuda::api_symbol));
  const cuda::Api* api = give == nullptr ? nullptr : give();
  if (api == nullptr || api->contract != cuda::contract())
    throw BuildError("native_unavailable",
                     format("device %s: %s belongs to another build of Tendon; build it again with "
                            "`TENDON_CUDA=on node native/build.mjs`",
                            device.c_str(), path.c_str()));
  return *api;
}

}  // namespace

std::shared_ptr<const Device> Device::open(const std::string& name) {
  auto device = std::make_shared<Device>();
  device->name_ = name;
  const std::string which = name.rfind("cuda:", 0) == 0 ? name.substr(5) : "";
  if (which == "emulated") {
    device->api_ = &cuda::emulated_api();
  } else {
    if (which.empty() || which.size() > 3 || which.find_first_not_of("0123456789") != std::string::npos)
      throw BuildError("config_invalid",
                       "device: expected cpu, cuda:0 or another number, or cuda:emulated, got " + name);
    device->index_ = std::atoi(which.c_str());
    device->api_ = &library_api(name);
    int count = 0;
    const cuda::Error none = device->api_->count(&count);
    if (none != nullptr || device->index_ >= count)
      throw BuildError("native_unavailable",
                       format("device %s: this machine has %d CUDA devices%s%s; check nvidia-smi, or leave "
                              "`device` out to run on the CPU",
                              name.c_str(), count, none == nullptr ? "" : ": ", none == nullptr ? "" : none));
  }
  device->check(device->api_->describe(device->index_, &device->description_));
  return device;
}

std::string Device::why_no_cuda() {
  try {
    open("cuda:0");
    return "";
  } catch (const BuildError& e) {
    return e.what();
  }
}

const KernelTable& Device::kernels() const { return cuda::emulated_kernels(); }

void Device::check(cuda::Error error) const {
  if (error != nullptr) throw BuildError("internal", format("device %s: %s", name_.c_str(), error));
}

DeviceStream::DeviceStream(std::shared_ptr<const Device> device) : device_(std::move(device)) {
  device_->check(api().open_stream(device_->index(), &stream_));
}
DeviceStream::~DeviceStream() { api().close_stream(stream_); }

Memory allocate(const std::shared_ptr<DeviceStream>& stream, size_t bytes, MemoryKind kind) {
  const cuda::Api& api = stream->api();
  const bool staging = kind == MemoryKind::staging;
  void* data = nullptr;
  const cuda::Error error = (staging ? api.allocate_pinned : api.allocate)(stream->get(), bytes, &data);
  if (error != nullptr)
    throw BuildError("out_of_resources",
                     format("device %s: cannot take %zu MB: %s; use a lower precision or a smaller batch",
                            stream->device().name().c_str(), bytes >> 20, error));
  const auto give_back = [stream, staging](uint8_t* p) {
    (staging ? stream->api().deallocate_pinned : stream->api().deallocate)(stream->get(), p);
  };
  return {std::shared_ptr<uint8_t>(static_cast<uint8_t*>(data), give_back), bytes};
}

bool DeviceSignal::await(const DeviceStream& stream) {
  const cuda::Api& api = stream.api();
  if (api.launch_host(stream.get(), raise, this) != nullptr) return false;
  while (!raised_.try_acquire_for(std::chrono::milliseconds(200))) {
    bool done = false;
    if (api.query(stream.get(), &done) != nullptr) return false;
  }
  return true;
}

}  // namespace tendon
