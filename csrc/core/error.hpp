#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace lcx {

/// What went wrong, in the caller's terms. The bindings map each code to one Python class.
enum class ErrorCode { kInvalidArgument, kUnsupported, kDevice, kEngine };

/// The one exception the core throws. `what()` names what was given and what is accepted.
class Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

/// Throws Error(code) with the arguments streamed into its message, unless `condition` holds.
template <typename... Parts>
void require(bool condition, ErrorCode code, const Parts&... parts) {
  if (condition) [[likely]] {
    return;
  }
  std::ostringstream message;
  (message << ... << parts);
  throw Error(code, message.str());
}

/// `require` for the commonest code.
template <typename... Parts>
void require_argument(bool condition, const Parts&... parts) {
  require(condition, ErrorCode::kInvalidArgument, parts...);
}

}  // namespace lcx
