// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "left_behind.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <sys/prctl.h>
#include <unistd.h>

namespace jobruntime::jobrt {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

struct Process {
    int pid = 0;
    std::string name;
};

/// Our children that still run code, from /proc/<pid>/stat: "pid (name) state parent …".
std::vector<Process> children() {
    std::vector<Process> found;
    std::error_code code;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", code)) {
        const auto file = entry.path().filename().string();
        Process process;
        if (std::from_chars(file.data(), file.data() + file.size(), process.pid).ec != std::errc{}) continue;
        std::ifstream in(entry.path() / "stat");
        std::string line;
        std::getline(in, line);
        const auto open = line.find('(');
        const auto close = line.rfind(')');  // A program's name may hold anything, even ')'.
        if (open == std::string::npos || close == std::string::npos) continue;
        std::istringstream rest(line.substr(close + 1));
        char state = 0;
        int parent = 0;
        rest >> state >> parent;
        if (parent != ::getpid() || state == 'Z' || state == 'X') continue;
        process.name = line.substr(open + 1, close - open - 1);
        found.push_back(std::move(process));
    }
    return found;
}

}  // namespace

void adopt_orphans() { ::prctl(PR_SET_CHILD_SUBREAPER, 1); }

std::vector<std::string> end_left_behind() {
    const auto begin = steady_clock::now();
    std::vector<std::string> names;
    // Once a process is killed its own children become ours, so that there may be more to find.
    while (steady_clock::now() < begin + 5s) {
        const auto found = children();
        if (found.empty()) break;
        if (steady_clock::now() > begin + 300ms) {
            for (const auto& process : found) {
                if (std::ranges::find(names, process.name) == names.end()) names.push_back(process.name);
                ::kill(process.pid, SIGKILL);
            }
        }
        std::this_thread::sleep_for(10ms);
    }
    return names;
}

}  // namespace jobruntime::jobrt
