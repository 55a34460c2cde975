/** Why a request is not done, as the status of its answer says it. */
export class ManagementError extends Error {
  readonly status: number;

  constructor(status: 400 | 403 | 404 | 500 | 501, description: string) {
    super(description);
    this.status = status;
  }
}
