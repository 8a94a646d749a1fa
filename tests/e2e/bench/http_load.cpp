// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// http_load PORT PATH CONNECTIONS SECONDS: asks a server on this machine for one thing, over so many connections that are
// used again, each with its next question as soon as it has its answer. "{n}" in PATH is another number of three digits each
// time, so that no answer can be one that was given before. Prints one line of JSON.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/subprocess.hpp>

namespace {

using Clock = std::chrono::steady_clock;

struct Connection {
    jobruntime::Fd socket;
    std::string head;            ///< Of the answer that is coming, as far as it came.
    std::size_t body_left = 0;   ///< Of its body.
    bool in_body = false;
    Clock::time_point asked{};
};

struct Figures {
    std::vector<float> micros;
    std::size_t bytes = 0, failed = 0;
};

jobruntime::Fd connected(int port) {
    jobruntime::Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
        std::perror("http_load: connect");
        std::exit(1);
    }
    return fd;
}

/// Counts in the digits that stand at `place`.
void count_on(std::string& question, std::size_t place) {
    for (auto at = place + 3; at-- > place;) {
        if (question[at] != '9') {
            ++question[at];
            return;
        }
        question[at] = '0';
    }
}

void ask(Connection& connection, std::string_view question) {
    connection.head.clear();
    connection.in_body = false;
    connection.asked = Clock::now();
    // It fits into the socket's empty buffer.
    if (send(connection.socket.get(), question.data(), question.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(question.size())) {
        std::perror("http_load: send");
        std::exit(1);
    }
}

/// The length that an answer's head names.
std::size_t length_of(std::string head) {
    std::ranges::transform(head, head.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    constexpr std::string_view name = "\r\ncontent-length: ";
    const auto at = head.find(name);
    std::size_t length = 0;
    if (at == std::string::npos ||
        std::from_chars(head.data() + at + name.size(), head.data() + head.size(), length).ec != std::errc()) {
        std::fprintf(stderr, "http_load: an answer without a length\n%s\n", head.c_str());
        std::exit(1);
    }
    return length;
}

/// Takes what has come; whether that was the rest of an answer.
bool take(Connection& connection, Figures& figures) {
    static std::array<char, 256 << 10> bytes;
    const auto got = recv(connection.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (got <= 0) {
        std::fprintf(stderr, "http_load: the server has closed a connection\n");
        std::exit(1);
    }
    figures.bytes += static_cast<std::size_t>(got);
    auto count = static_cast<std::size_t>(got);
    if (!connection.in_body) {
        const auto before = connection.head.size();
        connection.head.append(bytes.data(), count);
        const auto end = connection.head.find("\r\n\r\n", before < 3 ? 0 : before - 3);
        if (end == std::string::npos) return false;
        count = connection.head.size() - end - 4;
        connection.head.resize(end + 2);
        if (!connection.head.starts_with("HTTP/1.1 200 ")) ++figures.failed;
        connection.body_left = length_of(connection.head);
        connection.in_body = true;
    }
    connection.body_left -= count;
    if (connection.body_left > 0) return false;
    figures.micros.push_back(std::chrono::duration<float, std::micro>(Clock::now() - connection.asked).count());
    return true;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: http_load PORT PATH CONNECTIONS SECONDS\n");
        return 2;
    }
    auto question = "GET " + std::string(argv[2]) + " HTTP/1.1\r\nHost: localhost\r\n\r\n";
    const auto number = question.find("{n}");
    if (number != std::string::npos) question.replace(number, 3, "000");
    const auto ask_next = [&](Connection& connection) {
        ask(connection, question);
        if (number != std::string::npos) count_on(question, number);
    };
    std::vector<Connection> connections(static_cast<std::size_t>(std::atoi(argv[3])));
    const jobruntime::Fd loop(epoll_create1(EPOLL_CLOEXEC));
    Figures figures;
    figures.micros.reserve(4'000'000);
    const auto begun = Clock::now();
    const auto until = begun + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(std::atof(argv[4])));
    for (auto& connection : connections) {
        connection.socket = connected(std::atoi(argv[1]));
        epoll_event wanted{.events = EPOLLIN, .data = {.ptr = &connection}};
        epoll_ctl(loop.get(), EPOLL_CTL_ADD, connection.socket.get(), &wanted);
        ask_next(connection);
    }
    std::array<epoll_event, 64> events;
    while (Clock::now() < until) {
        const int count = epoll_wait(loop.get(), events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < count; ++i) {
            auto& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
            if (take(connection, figures)) ask_next(connection);
        }
    }
    const std::chrono::duration<double> took = Clock::now() - begun;
    auto& micros = figures.micros;
    if (micros.empty()) {
        std::fprintf(stderr, "http_load: no answer came\n");
        return 1;
    }
    std::ranges::sort(micros);
    std::printf(R"({"requests":%zu,"seconds":%.3f,"failed":%zu,"bytes":%zu,"p50_us":%.0f,"p99_us":%.0f})" "\n", micros.size(), took.count(),
                figures.failed, figures.bytes, static_cast<double>(micros[micros.size() / 2]), static_cast<double>(micros[micros.size() * 99 / 100]));
}
