// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/event_reader.hpp"

#include <utility>

#include "core/sse.hpp"
#include "http/event_loop.hpp"

namespace jobruntime::http {

void EventReader::start() { thread_ = std::thread([this] { run(); }); }

void EventReader::stop() {
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
}

void EventReader::ask(Question question, bool soon) {
    {
        std::lock_guard lock(mutex_);
        if (soon) questions_.push_front(std::move(question));
        else questions_.push_back(std::move(question));
    }
    changed_.notify_one();
}

std::vector<EventReader::Answer> EventReader::take() {
    std::lock_guard lock(mutex_);
    return std::exchange(answers_, {});
}

void EventReader::run() {
    block_signals();
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stop_ || !questions_.empty(); });
        if (stop_) return;
        auto question = std::move(questions_.front());
        questions_.pop_front();
        lock.unlock();
        auto answer = read(std::move(question));
        lock.lock();
        answers_.push_back(std::move(answer));
        answered_();
    }
}

EventReader::Answer EventReader::read(Question question) {
    Answer answer;
    answer.key = std::move(question.key);
    answer.after = question.after;
    auto page = store_.events(question.after, question.filter, question.limit);
    if (!page) {
        answer.error = page.error();
        if (answer.error.message.empty()) answer.error.message = "it does not answer";
        return answer;
    }
    answer.page = std::move(*page);
    answer.full = static_cast<int>(answer.page.events.size()) >= question.limit;
    auto text = std::make_shared<std::string>();
    for (const auto& event : answer.page.events) {
        *text += core::sse_telemetry(event);
        answer.ends.push_back(text->size());
        if (text->size() >= question.most_bytes) break;
    }
    if (answer.ends.size() < answer.page.events.size()) {
        answer.page.events.resize(answer.ends.size());
        answer.page.next = answer.page.events.back().id;
        answer.full = true;
    }
    text->shrink_to_fit();  // It may lie in the backlog of somebody slow.
    answer.text = std::move(text);
    return answer;
}

}  // namespace jobruntime::http
