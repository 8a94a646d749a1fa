// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/journal.hpp"

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <fcntl.h>
#include <unistd.h>

namespace proof {

Journal::Journal(const std::string& path, bool synced) : synced_(synced) {
    fd_ = open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd_ < 0) std::abort();
    const off_t end = lseek(fd_, 0, SEEK_END);
    off_t keep = end;
    for (char byte = 0; keep > 0; --keep)
        if (pread(fd_, &byte, 1, keep - 1) != 1 || byte == '\n') break;
    if (keep != end && ftruncate(fd_, keep) != 0) std::abort();
}

Journal::~Journal() { close(fd_); }

void Journal::write(char word, std::string_view rest) {
    const auto now = std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
    std::string line(1, word);
    line += ' ' + std::to_string(now) + ' ';
    line.append(rest) += '\n';
    if (::write(fd_, line.data(), line.size()) != static_cast<ssize_t>(line.size())) std::abort();
    if (synced_) fdatasync(fd_);
}

std::vector<Line> read_journal(const std::string& path) {
    std::vector<Line> lines;
    std::ifstream in(path);
    std::string text;
    while (std::getline(in, text) && !in.eof()) {
        std::istringstream fields(text);
        Line line;
        fields >> line.word >> line.at;
        for (std::string field; fields >> field;) line.rest.push_back(field);
        lines.push_back(std::move(line));
    }
    return lines;
}

}  // namespace proof
