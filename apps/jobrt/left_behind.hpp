// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

// What a program leaves running behind itself, also where it has left its process group.
namespace jobruntime::jobrt {

/// From now on whoever loses its parent below this process becomes its child, and not init's.
void adopt_orphans();

/// Kills the processes below this one that still run, but for those that end by themselves within a moment; their
/// names, each once. Nothing of ours may run beside.
std::vector<std::string> end_left_behind();

}  // namespace jobruntime::jobrt
