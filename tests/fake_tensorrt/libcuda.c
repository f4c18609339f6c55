/* A stand-in for the NVIDIA driver's library: two GPUs that have names. FAKE_CUDA_ERROR makes the driver fail to start. */
#include <stdlib.h>
#include <string.h>

int cuInit(unsigned flags) { return getenv("FAKE_CUDA_ERROR") ? 999 : (int)flags; }
int cuDriverGetVersion(int* version) {
  *version = 13000;
  return 0;
}
int cuDeviceGetCount(int* count) {
  *count = getenv("FAKE_CUDA_NONE") ? 0 : 2;
  return 0;
}
int cuDeviceGet(int* device, int index) {
  *device = index;
  return 0;
}
int cuDeviceGetName(char* name, int bytes, int device) {
  strncpy(name, device == 0 ? "Card One" : "Card Two", (size_t)bytes);
  return 0;
}
int cuDeviceGetAttribute(int* value, int attribute, int device) {
  *value = attribute == 75 ? 8 : device == 0 ? 9 : 6;
  return 0;
}
int cuGetErrorString(int status, const char** text) {
  *text = "the driver is asleep";
  return status == 999 ? 0 : 1;
}
