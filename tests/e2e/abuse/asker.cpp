// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/abuse/asker.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace jobruntime::abuse {

std::string Api::head(const std::string& what) const {
    return what + " HTTP/1.1\r\nHost: localhost\r\n" + (token.empty() ? "" : "Authorization: Bearer " + token + "\r\n");
}

int Asker::ask(std::string_view text, std::string* answer, int* retry_after) const {
    const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{10, 0};
    setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(api_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return 0;
    if (send(fd.get(), text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(text.size())) return 0;
    std::string all;
    char bytes[65536];
    while (true) {
        const auto size = recv(fd.get(), bytes, sizeof bytes, 0);
        if (size <= 0) break;
        all.append(bytes, static_cast<std::size_t>(size));
    }
    if (!all.starts_with("HTTP/1.1 ")) return 0;
    const int status = std::atoi(all.c_str() + 9);
    constexpr std::string_view retry = "\r\nretry-after: ";
    if (const auto at = all.find(retry); retry_after) *retry_after = at == std::string::npos ? 0 : std::atoi(all.c_str() + at + retry.size());
    if (answer) *answer = all.substr(std::min(all.size(), all.find("\r\n\r\n") + 4));
    return status;
}

int Asker::get(const std::string& path, std::string* answer) const {
    return ask(api_.head("GET " + path) + "Connection: close\r\n\r\n", answer);
}

HealthWatch::HealthWatch(Api api) : thread_([this, api = std::move(api)] { run(api); }) {}

HealthWatch::~HealthWatch() { stop(); }

void HealthWatch::stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
}

void HealthWatch::run(const Api& api) {
    const Asker asker(api);
    while (!stop_) {
        const auto begun = std::chrono::steady_clock::now();
        const int status = asker.get("/api/health");
        const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begun;
        {
            std::lock_guard lock(mutex_);
            times_.push_back(took.count());
            if (status != 200) ++failed_;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

HealthWatch::Times HealthWatch::take() {
    std::vector<double> times;
    Times result;
    {
        std::lock_guard lock(mutex_);
        times = std::exchange(times_, {});
        result.failed = std::exchange(failed_, 0);
    }
    result.asked = times.size();
    if (times.empty()) return result;
    std::sort(times.begin(), times.end());
    result.p50 = times[times.size() / 2];
    result.p99 = times[std::min(times.size() - 1, times.size() * 99 / 100)];
    result.most = times.back();
    return result;
}

}  // namespace jobruntime::abuse
