// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "port_owner.hpp"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace jobruntime::jobrt {
namespace {

/// Inodes of the sockets that listen on `port`, from /proc/net/tcp: "sl local rem st … inode".
std::set<std::string> listening_inodes(int port) {
    std::set<std::string> inodes;
    for (const auto* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream in(table);
        std::string line;
        std::getline(in, line);
        while (std::getline(in, line)) {
            std::istringstream fields(line);
            std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
            fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
            const auto colon = local.find(':');
            if (state != "0A" || colon == std::string::npos) continue;
            if (std::stoi(local.substr(colon + 1), nullptr, 16) == port) inodes.insert("socket:[" + inode + "]");
        }
    }
    return inodes;
}

}  // namespace

std::optional<PortOwner> port_owner(int port) {
    namespace fs = std::filesystem;
    const auto inodes = listening_inodes(port);
    if (inodes.empty()) return std::nullopt;
    std::error_code code;
    for (const auto& process : fs::directory_iterator("/proc", code)) {
        const auto name = process.path().filename().string();
        int pid = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), pid).ec != std::errc{}) continue;
        for (fs::directory_iterator fd(process.path() / "fd", code), end; !code && fd != end; fd.increment(code)) {
            std::error_code gone;
            if (inodes.count(fs::read_symlink(fd->path(), gone).string()) == 0) continue;
            std::string program;
            std::ifstream(process.path() / "comm") >> program;
            return PortOwner{pid, program};
        }
        code.clear();
    }
    return PortOwner{};
}

}  // namespace jobruntime::jobrt
