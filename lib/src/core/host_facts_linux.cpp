// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/host_facts.hpp"

#include <unistd.h>

#include <array>

#include "core/read_file_linux.hpp"

namespace jobruntime::core {
namespace {

std::string read_boot_id() {
    // Without it a reboot counts as a crash; nothing is lost.
    auto id = read_file("/proc/sys/kernel/random/boot_id").value_or(std::string());
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
