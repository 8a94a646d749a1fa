// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/cdp.hpp"

#include <algorithm>

#include <boost/json.hpp>

#include "extract/json_access.hpp"

namespace jobruntime::extract::cdp {

namespace json = boost::json;

void FrameSplitter::feed(std::string_view bytes, const std::function<void(std::string_view)>& sink) {
    while (!bytes.empty()) {
        const auto end = bytes.find('\0');
        const auto piece = bytes.substr(0, end);
        const bool whole = end != std::string_view::npos;
        if (!skipping_ && partial_.size() + piece.size() > max_message_) {
            skipping_ = true;
            ++skipped_;
            partial_ = {};
        }
        if (!skipping_) {
            if (whole && partial_.empty()) {
                if (!piece.empty()) sink(piece);
            } else {
                partial_.append(piece);
                if (whole) {
                    if (!partial_.empty()) sink(partial_);
                    partial_.clear();
                }
            }
        }
        if (!whole) return;
        skipping_ = false;
        bytes.remove_prefix(end + 1);
    }
}

std::optional<Message> parse_message(std::string_view text) {
    json::parse_options options;
    options.max_depth = 128;  // Initiator stacks nest; boost's default of 32 would lose events.
    options.allow_invalid_utf8 = true;
    json::error_code failed;
    json::value value = json::parse({text.data(), text.size()}, failed, {}, options);
    if (failed || !value.is_object()) return std::nullopt;
    json::object& object = value.get_object();
    Message message;
    message.bytes = text.size();
    message.session = std::string(text_at(object, "sessionId"));
    if (const auto* id = object.if_contains("id"); id != nullptr) {
        if (!id->is_int64() || id->get_int64() <= 0) return std::nullopt;
        message.id = id->get_int64();
        if (const auto* error = object_at(object, "error"); error != nullptr) {
            message.error = std::string(text_at(*error, "message"));
            if (message.error.empty()) message.error = "unnamed error";
        }
        if (auto* result = object.if_contains("result"); result != nullptr && result->is_object()) {
            message.params = std::move(result->get_object());
        }
        return message;
    }
    message.method = std::string(text_at(object, "method"));
    if (message.method.empty()) return std::nullopt;
    if (auto* params = object.if_contains("params"); params != nullptr && params->is_object()) {
        message.params = std::move(params->get_object());
    }
    return message;
}

Mailbox::Got Mailbox::pop(Message& out, Deadline deadline, const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return !messages_.empty() || closed_; };
    if (stop.stop_requested()) return Got::stopped;
    if (!ready()) {
        // The year-long cap keeps the conversion of Deadline::max() inside the library from overflowing.
        const auto capped =
            std::min(deadline, std::chrono::steady_clock::now() + std::chrono::hours(24 * 365));
        if (!changed_.wait_until(lock, stop, capped, ready)) {
            return stop.stop_requested() ? Got::stopped : Got::deadline;
        }
    }
    if (messages_.empty()) return Got::closed;
    out = std::move(messages_.front());
    messages_.pop_front();
    bytes_ -= out.bytes;
    return Got::message;
}

void Mailbox::push(Message message) {
    {
        const std::lock_guard lock(mutex_);
        if (closed_) return;
        const bool full =
            messages_.size() >= limits_.mailbox_events || bytes_ + message.bytes > limits_.mailbox_bytes;
        if (full && message.id == 0) {
            ++dropped_;
            return;
        }
        bytes_ += message.bytes;
        messages_.push_back(std::move(message));
    }
    changed_.notify_one();
}

void Mailbox::close() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
    }
    changed_.notify_all();
}

std::size_t Mailbox::dropped() const {
    const std::lock_guard lock(mutex_);
    return dropped_;
}

}  // namespace jobruntime::extract::cdp
