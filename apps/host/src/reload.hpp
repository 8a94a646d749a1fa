// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include "cli.hpp"

namespace jobruntime::host {

/// The variables whose values differ, and the configuration file's structure by its members: those that a process takes over
/// while it runs …
std::vector<std::string> changed_at_once(const Settings& settings, const Config& config, const Loaded& fresh);
/// … and those that need a restart.
std::vector<std::string> wait_for_restart(const Settings& settings, const Loaded& fresh);

/// What is to be warned of now and was not before.
std::vector<std::string> new_warnings(const Settings& before, const Settings& now);

/// With commas, for a line of the log.
std::string joined(const std::vector<std::string>& names);

}  // namespace jobruntime::host
