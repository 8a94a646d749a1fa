// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "cli.hpp"

namespace jobruntime::host {

/// Whether a changed setting of this key counts from the reload on; every other one waits for a restart.
bool changes_at_once(std::string_view key);

/// The variables whose values differ and that need a restart, and the configuration file's structure by its members.
std::vector<std::string> wait_for_restart(const Invocation& in, const Loaded& fresh);

}  // namespace jobruntime::host
