// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/result.hpp>

// The part of XML 1.0 that manifests are written in: elements, attributes, text. A reader of our own, because
// the text is a stranger's: what libxml2 can do beyond that (document types, entities, inclusions,
// catalogues, other encodings) is what such texts attack with, and it would be a new library in the worker's
// process.
namespace jobruntime::media {

/// One element. Its names and values are views into the text that it was read from.
struct XmlElement {
    std::string_view name;                                                  ///< Without a namespace prefix.
    std::vector<std::pair<std::string_view, std::string_view>> attributes;  ///< As written; get() decodes.
    std::string text;  ///< Directly inside it, decoded, without blanks round it.
    std::vector<XmlElement> children;

    /// An attribute's value, decoded. `attribute` is its whole name, with a prefix where it has one.
    std::optional<std::string> get(std::string_view attribute) const;
    /// The first child of that name, or null.
    const XmlElement* child(std::string_view wanted) const;
};

struct XmlLimits {
    std::size_t max_depth = 24;
    std::size_t max_elements = 250'000;
    std::size_t max_attributes = 64;  ///< Of one element.
};

/// Reads a whole document, whose text must outlive the answer. Anything that is not well-formed or beyond the
/// limits is NOT_MEDIA, and so is a document type: no entity is ever expanded but the five of XML itself, and
/// characters by number, which become '?' beyond ASCII: no address has them. Takes time in proportion to the
/// text.
Result<XmlElement> parse_xml(std::string_view text, const XmlLimits& limits = {});

}  // namespace jobruntime::media
