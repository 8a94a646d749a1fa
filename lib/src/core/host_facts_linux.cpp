// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/host_facts.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>

namespace jobruntime::core {
namespace {

std::string read_boot_id() {
    const int fd = ::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};  // Without it a reboot counts as a crash; nothing is lost.
    std::array<char, 64> text{};
    const auto size = ::read(fd, text.data(), text.size());
    ::close(fd);
    std::string id(text.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
    while (!id.empty() && id.back() == '\n') id.pop_back();
    return id;
}

}  // namespace

void add_host_facts(SessionFacts& facts) {
    if (facts.host.empty()) {
        std::array<char, 256> name{};
        if (::gethostname(name.data(), name.size() - 1) == 0) facts.host = name.data();
    }
    if (facts.boot_id.empty()) facts.boot_id = read_boot_id();
    if (facts.pid == 0) facts.pid = ::getpid();
}

}  // namespace jobruntime::core
