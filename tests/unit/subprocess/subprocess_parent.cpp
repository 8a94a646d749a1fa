// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// A parent that waits to be killed: it starts a child from a thread that then ends, prints the
// child's pid, and waits for its own end.
#include <unistd.h>

#include <cstdio>
#include <optional>
#include <thread>

#include <jobruntime/subprocess.hpp>

int main() {
    std::optional<jobruntime::Subprocess> child;
    std::thread([&] {
        auto spawned = jobruntime::Subprocess::spawn({.argv = {"/bin/sleep", "1000"}});
        if (spawned) child = std::move(*spawned);
    }).join();
    if (!child) return 1;
    std::printf("%d\n", child->pid());
    std::fflush(stdout);
    while (true) ::pause();
}
