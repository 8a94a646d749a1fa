// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>

namespace jobruntime::jobrt {

/// Who listens on a TCP port of this machine.
struct PortOwner {
    int pid = 0;           ///< 0 = another user's process, which only root may name.
    std::string program;
    std::string pid_text() const { return pid == 0 ? "unknown (ask as root)" : std::to_string(pid); }
};
/// Nothing when nobody listens.
std::optional<PortOwner> port_owner(int port);

}  // namespace jobruntime::jobrt
