// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/read_file_linux.hpp"

#include <array>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <unistd.h>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::core {

Result<std::string> read_file(const std::string& path, std::size_t most) {
    const auto failed = [&path](int why) {
        return Error{why == ENOENT ? Errc::not_found : Errc::unavailable,
                     "the file " + path + " could not be read: " + std::strerror(why)};
    };
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return failed(errno);
    std::string text;
    std::array<char, 16 * 1024> piece;
    while (true) {
        const auto size = ::read(file.get(), piece.data(), piece.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return failed(errno);
        if (size == 0) return text;
        if (text.size() + static_cast<std::size_t>(size) > most)
            return Error{Errc::full, "the file " + path + " has more than " + std::to_string(most) + " bytes"};
        text.append(piece.data(), static_cast<std::size_t>(size));
    }
}

}  // namespace jobruntime::core
