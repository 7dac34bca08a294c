-- AlterEnum
BEGIN;
CREATE TYPE "reasoninglevels_new" AS ENUM ('NONE', 'MINIMAL', 'LOW', 'MEDIUM', 'HIGH');
ALTER TABLE "complexity_estimation" ALTER COLUMN "reasoning" TYPE "reasoninglevels_new" USING ("reasoning"::text::"reasoninglevels_new");
ALTER TYPE "reasoninglevels" RENAME TO "reasoninglevels_old";
ALTER TYPE "reasoninglevels_new" RENAME TO "reasoninglevels";
DROP TYPE "reasoninglevels_old";
COMMIT;
