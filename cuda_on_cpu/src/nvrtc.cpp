// The compiler interface (libnvrtc) as CuPy calls it.
#include <cstring>

#include "nvrtc.h"

using namespace cuda_on_cpu;

extern "C" __attribute__((visibility("default"))) const char *nvrtcGetErrorString(int number) {
  return number == NVRTC_SUCCESS ? "NVRTC_SUCCESS" : number == COMPILATION ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}
API
nvrtcVersion(int *major, int *minor) {
  *major = 13;
  *minor = 0;
  return NVRTC_SUCCESS;
}
API
nvrtcGetNumSupportedArchs(int *count) {
  *count = 1;
  return NVRTC_SUCCESS;
}
API
nvrtcGetSupportedArchs(int *archs) {
  archs[0] = 90;
  return NVRTC_SUCCESS;
}
API
nvrtcCreateProgram(Program **out, const char *source, const char *name, int count, const char **headers,
                   const char **names) {
  *out = new Program;
  (*out)->source = source;
  (*out)->name = name ? name : "";
  for (int i = 0; i < count; ++i) (*out)->headers[names[i]] = headers[i];
  return NVRTC_SUCCESS;
}
API
nvrtcDestroyProgram(Program **program) {
  delete *program;
  *program = nullptr;
  return NVRTC_SUCCESS;
}
API
nvrtcAddNameExpression(Program *program, const char *text) {
  program->expressions.push_back(text);
  return NVRTC_SUCCESS;
}
API
nvrtcGetLoweredName(Program *program, const char *text, const char **out) {
  for (size_t i = 0; i < program->expressions.size(); ++i)
    if (program->expressions[i] == text) {
      *out = program->lowered.at(i).c_str();
      return NVRTC_SUCCESS;
    }
  return NAME_EXPRESSION_NOT_VALID;
}
API
nvrtcCompileProgram(Program *program, int count, const char **options) {
  // CuPy compiles nothing to learn which compiler it has: the answer changes with what the shim says.
  if (program->source.find_first_not_of(" \n") == std::string::npos) {
    program->image = "// cuda_on_cpu " + read_file(root() + "/lib/version") + "\n";
    return NVRTC_SUCCESS;
  }
  return compile(*program, {options, options + count});
}
API
nvrtcGetCUBINSize(Program *program, size_t *size) {
  *size = program->image.size();
  return NVRTC_SUCCESS;
}
API
nvrtcGetCUBIN(Program *program, char *out) {
  memcpy(out, program->image.data(), program->image.size());
  return NVRTC_SUCCESS;
}
API
nvrtcGetPTXSize(Program *program, size_t *size) {
  *size = program->image.size() + 1;
  return NVRTC_SUCCESS;
}
API
nvrtcGetPTX(Program *program, char *out) {
  memcpy(out, program->image.c_str(), program->image.size() + 1);
  return NVRTC_SUCCESS;
}
API
nvrtcGetProgramLogSize(Program *program, size_t *size) {
  *size = program->log.size() + 1;
  return NVRTC_SUCCESS;
}
API
nvrtcGetProgramLog(Program *program, char *out) {
  memcpy(out, program->log.c_str(), program->log.size() + 1);
  return NVRTC_SUCCESS;
}
API
nvrtcGetLTOIRSize(Program *, size_t *size) {
  *size = 0;
  return INVALID_INPUT;
}
API
nvrtcGetLTOIR(Program *, char *) { return INVALID_INPUT; }
